#!/bin/bash
# One sweep as a Slurm job: Ray on every node of the allocation, the same command again after each
# time limit, until the table is printed. Fill in <STUDY>, <STORE> and <DATA>, then: sbatch slurm.sh
# What follows it goes on to semisweep run: sbatch slurm.sh --scale paper --gpus 1
#SBATCH --job-name=semisweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=semisweep-%j.log

STUDY="<STUDY>"
STORE="<STORE>"
DATA="<DATA>"

case "$STUDY$STORE$DATA" in
*"<"*) echo "fill in STUDY, STORE and DATA at the top of this script" >&2; exit 2 ;;
esac

# The batch script runs on the first node, where Ray's head and the sweep's driver run too.
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address_of() {
    name=$(scontrol --oneliner show node "$1" | grep -o 'NodeAddr=[^ ]*' | cut -d = -f 2)
    getent ahostsv4 "$name" | awk 'NR == 1 { print $1 }'
}
export -f address_of
HEAD_IP=$(address_of "$first")
HEAD_PORT=$((20000 + SLURM_JOB_ID % 10000)) # two jobs may share a machine
TEMPORARY="/tmp/semisweep-$SLURM_JOB_ID" # short: Ray makes sockets there
export HEAD_IP HEAD_PORT TEMPORARY
export SEMISWEEP_DATA="$DATA"

# Whoever has the token may run code on these nodes: each job makes its own, and writes it nowhere.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
export RAY_USAGE_STATS_ENABLED=0
case "$HEAD_IP" in
127.*) export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 ;; # Ray's switch for staying on loopback
esac

srun --ntasks="$SLURM_NNODES" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" bash -c '
    if [ "$SLURM_PROCID" = 0 ]; then
        set -- --head --port="$HEAD_PORT" --node-ip-address="$HEAD_IP" --include-dashboard=false \
            --temp-dir="$TEMPORARY"
    else
        set -- --address="$HEAD_IP:$HEAD_PORT" --node-ip-address="$(address_of "$SLURMD_NODENAME")"
        until ray health-check --address "$HEAD_IP:$HEAD_PORT" 2>/dev/null; do sleep 2; done
    fi
    exec ray start "$@" --num-cpus="${SLURM_CPUS_PER_TASK:-1}" --block
' &
ray=$!

for _ in $(seq 60); do
    ray health-check --address "$HEAD_IP:$HEAD_PORT" 2>/dev/null && break
    kill -0 "$ray" || exit 1
    sleep 1
done

semisweep run "$STUDY" --store "$STORE" --address "$HEAD_IP:$HEAD_PORT" "$@" &
driver=$!

# Shortly before the time limit (see --signal): running trials write checkpoints, then we go.
asked=no
trap 'asked=yes; kill -TERM "$driver"' TERM
wait "$driver"
code=$?
while kill -0 "$driver" 2>/dev/null; do
    wait "$driver"
    code=$?
done

kill -TERM "$ray"
wait "$ray"
srun --ntasks="$SLURM_NNODES" rm -rf "$TEMPORARY"
if [ "$asked" = yes ] && [ "$code" = 130 ]; then
    echo "the time is up: this job is put back into the queue and goes on from its checkpoints"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
