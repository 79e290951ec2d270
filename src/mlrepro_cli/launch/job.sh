# One attempt at one stage. Exit status 0: done; 75: another attempt may end better; else: the stage's own error.
#
# Without REPOSITORY, in the present checkout. With it, on a worker, which shares nothing with the head but that git
# repository and the DVC remote. On its machine a worker keeps, below MLREPRO_WORK (default ~/.cache/mlrepro):
# - checkouts: one a stage until that stage is pushed, so that a retry goes on from its checkpoint;
# - cache: one DVC cache, from which what was trained but not pushed is restored;
# - what is no output of DVC: pictures and shards, archives/<data set> and checkpoints, in which a person may place what
#   cannot be downloaded.
# Who holds a lock is for flock to say, not for any clock.
#
# STAGE, and on a worker:
# SHARED, TRAINED    the stages that it needs: those that all share, and trainings
# PICTURES, DATA     the stages that make the pictures, if it reads them, and the folder in which they do
# COMMIT             that is checked out
# REMOTE, ADDRESS    name and address of the DVC remote
# GPUS               that it must see
set -uo pipefail

again() {
    echo "error: $1"
    exit 75
}

# A link at $2 to the folder $1, which the machine keeps.
in_place_of() {
    [ -L "$2" ] || { mkdir -p "$1" "$(dirname "$2")" && rm -rf "${2:?}" && ln -s "$1" "$2"; }
}

check_out() {
    node=${MLREPRO_WORK:-$HOME/.cache/mlrepro}
    folder=$node/checkouts/${COMMIT:0:12}-${STAGE//[^A-Za-z0-9_-]/-}
    mkdir -p "$node/checkouts" "$node/pictures"

    # Held until this shell ends: one attempt at a stage at a time.
    exec 9>"$folder.lock"
    flock 9
    if [ ! -d "$folder" ]; then
        # Under its own name only when it is whole.
        rm -rf "$folder.partial"
        GIT_TERMINAL_PROMPT=0 git clone -q "$REPOSITORY" "$folder.partial" &&
            git -C "$folder.partial" checkout -q --detach "$COMMIT" ||
            again "commit $COMMIT cannot be checked out; see that this machine can clone the repository, or name another \
with --repository"
        printf '[core]\n    remote = %s\n[cache]\n    dir = "%s"\n[%sremote "%s"%s]\n    url = "%s"\n' \
            "$REMOTE" "$node/cache" "'" "$REMOTE" "'" "$ADDRESS" >"$folder.partial/.dvc/config.local"
        mv "$folder.partial" "$folder"
    fi

    cd "$folder"
    # The commit's code, not an installed package.
    export PYTHONPATH=$folder/src
    # A store of MLflow in this folder would be gone with it, and so would what a server has not got yet.
    if [ -n "${MLFLOW_TRACKING_URI:-}" ]; then
        in_place_of "$node/tracking" .checkpoints/tracking
    else
        export MLREPRO_TRACKING=none
    fi
}

see_gpus() {
    if [ "$GPUS" -le 0 ]; then
        export CUDA_VISIBLE_DEVICES=
        return
    fi
    seen=$(python -c 'import torch; print(torch.cuda.device_count())' | tail -n 1)
    [ "${seen:-0}" -ge "$GPUS" ] ||
        again "this worker sees ${seen:-0} GPUs and the launch asked for $GPUS; see that its node has them and that its \
torch can use them, or launch with --gpus 0"
}

restore_needs() {
    in_place_of "$node/checkpoints" checkpoints
    [ -z "$DATA" ] || in_place_of "$node/archives/$(basename "$DATA")" "$DATA/archives"
    [ -z "$SHARED" ] || dvc repro --pull -s $SHARED || again "what $STAGE needs can be neither restored nor made"

    # Never trained here: a remote that is away must not cost a second training.
    for training in $TRAINED; do
        python -m mlrepro_cli.launch.pipeline restore "$training" ||
            again "$training is done and not in the DVC remote; see that the remote can be reached"
    done
}

# What the pictures on this machine must fit.
prepared_state() {
    cat "$DATA/manifest.parquet" "$DATA/summary.json" | sha256sum | cut -c 1-12
}

# Whether they are read from files here, or from shards here; others are used where they are.
reads_pictures_here() {
    grep -qE '"(pictures": "pictures|address": "shards)"' "$DATA/summary.json" &&
        ! grep -q '"address": ".*://' "$DATA/summary.json"
}

# A restored manifest comes without pictures. They are made once a machine and state, while others wait.
make_pictures() {
    exec 8>"$node/pictures/$(basename "$DATA").lock"
    flock 8
    prepared=$(prepared_state)
    kept=$node/pictures/$(basename "$DATA")-$prepared
    for name in pictures shards fetched; do
        in_place_of "$kept/$name" "$DATA/$name"
    done

    if [ ! -e "$kept/complete" ] && reads_pictures_here; then
        dvc repro -f -s $PICTURES || again "no pictures in $DATA"
        if [ "$(prepared_state)" != "$prepared" ]; then
            rm -rf "$folder"
            again "$DATA: of what this machine could fetch, prepare makes another manifest than the launch's, or has \
another version of pyarrow"
        fi
        touch "$kept/complete"
    fi
    exec 8>&-
}

run_stage() {
    printed=$(mktemp)
    trap 'rm -f "$printed"' EXIT
    dvc --wait-for-lock repro -s "$STAGE" 2>&1 | tee "$printed" && return

    # Killed by signal N, which is -N, or 128 + N from a shell that ran it as a child (dash); or never begun.
    grep -qE 'exited with (-[0-9]+|129|1[3-8][0-9]|19[0-2])$|Unable to acquire lock' "$printed" && exit 75
    exit 1
}

# What the server has not got in a minute waits on this machine for its next stage.
track_stage() {
    [ "${MLREPRO_TRACKING:-}" = none ] || python -m mlrepro.tracking.writer --drain
}

push_stage() {
    for pause in 0 2 4 8 16; do
        sleep "$pause"
        python -m mlrepro_cli.launch.pipeline push "$STAGE" && rm -rf "$folder" && return
    done
    again "$STAGE is done, but not pushed to the DVC remote; see that it can be reached and has room, and launch again: \
this machine keeps the result"
}

if [ -n "${REPOSITORY:-}" ]; then
    check_out
    see_gpus
    restore_needs
    [ -z "$PICTURES" ] || make_pictures
fi
run_stage
if [ -n "${REPOSITORY:-}" ]; then
    track_stage
    push_stage
fi
