#!/bin/bash
# A swarm as a job array: 64 shards of one million seeds.
#
#   sbatch packaging/slurm/swarm.sh scenarios/smoke/swarm-five.toml /shared/reports
#
# When the array has ended:  patina sim merge /shared/reports/shard-*/swarm.json
#SBATCH --job-name=patina-swarm
#SBATCH --array=1-64
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=24:00:00
set -euo pipefail

scenario=$1
reports=$2
exec patina sim swarm "$scenario" --seeds 1000000 --jobs "$SLURM_CPUS_PER_TASK" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --keep-going --out "$reports/shard-$SLURM_ARRAY_TASK_ID"
