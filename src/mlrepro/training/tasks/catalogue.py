"""What builds a run's task, by its `inputs`: a function of a TaskRequest, which returns a Task."""

TASKS = {
    "features": "mlrepro.training.tasks.features:build",
    "maps": "mlrepro.training.tasks.maps:build",
    "captions": "mlrepro.training.tasks.captions:build",
    "images": "mlrepro.training.tasks.pictures:build",
}
