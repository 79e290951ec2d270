# One attempt at one stage. Exit status 0: done; 75: another attempt may end better; else: the stage's own error.
#
# Without REPOSITORY, in the present checkout. With it, on a worker, which shares nothing with the head but that git repository
# and the DVC remote. On its machine a worker keeps, below MLREPRO_WORK (default ~/.cache/mlrepro): a checkout a stage until
# that stage is pushed, so that a retry goes on from its checkpoint; one DVC cache, from which what was trained but not pushed
# is restored; and pictures, which are no outputs of DVC. Who holds a lock is for flock to say, not for any clock.
#
# STAGE; SHARED, TRAINED: the stages that it needs, those that all share and trainings; PICTURES: the stages that make the
# pictures in DATA, if it reads them; COMMIT, REMOTE (name), ADDRESS (of the remote), GPUS (that it must see).
set -uo pipefail
again() { echo "error: $1"; exit 75; }

if [ -n "${REPOSITORY:-}" ]; then
    node=${MLREPRO_WORK:-$HOME/.cache/mlrepro} name=${COMMIT:0:12}-${STAGE//[^A-Za-z0-9_-]/-}
    folder=$node/checkouts/$name
    mkdir -p "$node/checkouts" "$node/pictures"
    exec 9>"$folder.lock"
    flock 9
    if [ ! -d "$folder" ]; then
        rm -rf "$folder.partial"
        GIT_TERMINAL_PROMPT=0 git clone -q "$REPOSITORY" "$folder.partial" &&
            git -C "$folder.partial" checkout -q --detach "$COMMIT" || again "commit $COMMIT of $REPOSITORY cannot be checked out"
        printf '[core]\n    remote = %s\n[cache]\n    dir = "%s"\n[%sremote "%s"%s]\n    url = "%s"\n' \
            "$REMOTE" "$node/cache" "'" "$REMOTE" "'" "$ADDRESS" >"$folder.partial/.dvc/config.local"
        mv "$folder.partial" "$folder"
    fi
    cd "$folder"
    export PYTHONPATH=$folder/src # not an installed package
    [ -n "${MLFLOW_TRACKING_URI:-}" ] || export MLREPRO_TRACKING=none # a store in this folder would be gone with it
    if [ "$GPUS" -gt 0 ]; then
        seen=$(python -c 'import torch; print(torch.cuda.device_count())' | tail -n 1)
        [ "${seen:-0}" -ge "$GPUS" ] || again "this worker sees ${seen:-0} GPUs and the launch asked for $GPUS; see that its node has \
them and that its torch can use them, or launch with --gpus 0"
    fi
    [ -z "$SHARED" ] || dvc repro --pull -s $SHARED || again "what $STAGE needs can be neither restored nor made"
    for training in $TRAINED; do # never trained here: a remote that is away must not cost a second training
        python -m mlrepro_cli.launch.pipeline restore "$training" || again "$training is done and not in the DVC remote; see that the \
remote can be reached"
    done
    if [ -n "$PICTURES" ] && grep -q '"pictures": "pictures"' "$DATA/summary.json"; then
        exec 8>"$node/pictures/$(basename "$DATA").lock"
        flock 8
        kept=$node/pictures/$(basename "$DATA")-$(sha256sum <"$DATA/manifest.parquet" | cut -c 1-12)
        for name in archives pictures; do
            mkdir -p "$kept/$name"
            [ -L "$DATA/$name" ] || { rm -rf "${DATA:?}/$name" && ln -s "$kept/$name" "$DATA/$name"; }
        done
        [ -e "$kept/complete" ] || { dvc repro -f -s $PICTURES && touch "$kept/complete"; } || again "no pictures in $DATA"
        exec 8>&-
    fi
fi

said=$(mktemp)
trap 'rm -f "$said"' EXIT
if ! dvc --wait-for-lock repro -s "$STAGE" 2>&1 | tee "$said"; then
    # killed by signal N, which is -N, or 128 + N from a shell that ran it as a child (dash); or never begun
    grep -qE 'exited with (-[0-9]+|129|1[3-8][0-9]|19[0-2])$|Unable to acquire lock' "$said" && exit 75
    exit 1
fi
[ -n "${REPOSITORY:-}" ] || exit 0
for pause in 0 2 4 8 16; do
    sleep "$pause"
    python -m mlrepro_cli.launch.pipeline push "$STAGE" && rm -rf "$folder" && exit 0
done
again "$STAGE is done, but not pushed to the DVC remote; see that it can be reached and has room, and launch again: this machine \
keeps the result"
