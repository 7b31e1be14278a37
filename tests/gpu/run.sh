#!/usr/bin/env bash
# What only a machine with an accelerator can show, in at most 15 minutes: batches against bare
# loops, the tests that need a device, then the other benches, each step with a limit of its own.
#
#   DATA=train.jsonl FIELD=question tests/gpu/run.sh [FOLDER]
#
# What was found goes into FOLDER (gpu-results). PYTHON names an interpreter with a torch for the
# device; wheels that the machine lacks and cannot fetch are installed from the folder WHEELS.
# REHEARSE=1 runs every step on a processor at sizes that take seconds, to see that all of it runs;
# claims about speed need not hold there.
set -uo pipefail
cd "$(dirname "$0")/../.."
export PYTHON=${PYTHON:-python3} PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" REHEARSE=${REHEARSE:-}
export TOKENIZERS_PARALLELISM=false
out=${1:-gpu-results} total=870 failed=()
mkdir -p "$out"

tell() { echo "$*" | tee -a "$out/summary.txt"; }

bench() { # NAME SECONDS bench's arguments …
  local name=$1 limit=$2
  shift 2
  step "$name" "$limit" "$PYTHON" -m app.cli.main bench "$@" --json
}

step() { # NAME SECONDS command …
  local name=$1 limit=$2 start=$SECONDS left=$((total - SECONDS)) code
  shift 2
  if [ "$left" -lt 15 ]; then
    tell "$name: not run, the time is up"
    failed+=("$name")
    return
  fi
  timeout "$((limit < left ? limit : left))" "$@" >"$out/$name.out" 2>"$out/$name.err"
  code=$?
  tell "$name: exit $code after $((SECONDS - start)) s"
  if [ "$code" -eq 1 ] && [ -n "$REHEARSE" ] && "$PYTHON" -m json.tool "$out/$name.out" >/dev/null 2>&1
  then return; fi
  [ "$code" -eq 0 ] || failed+=("$name")
}

if [ -n "${WHEELS:-}" ]; then
  "$PYTHON" -m pip install --no-index --no-deps --quiet "$WHEELS"/*.whl || exit 1
fi
tell "$("$PYTHON" -c 'import torch
cuda = torch.cuda
print(torch.__version__, cuda.get_device_name() if cuda.is_available() else "no accelerator")')"

model=SmolLM2-135M-Instruct dtype=bfloat16 rows=7000 tests=(tests/gpu)
hooks=() latent=() critical=(--trajectories 4)
if [ -n "$REHEARSE" ]; then
  model=tiny:llama dtype=float32 rows=12 tests=(tests/gpu/test_commands.py -k "linear and float32")
  hooks=(--model $model --batch 2 --length 8 --repeats 1)
  latent=(--model $model --repeats 1 --new-tokens 8)
  critical=(--model $model --trajectories 1 --draws 8 --new-tokens 4)
fi
cat >"$out/plan.toml" <<TOML
name = "gpu"
batch_tokens = 16384
[model]
name = "$model"
dtype = "$dtype"
[data]
path = "${DATA:-shipped:prompts.jsonl}"
field = "${FIELD:-text}"
[[probes]]
name = "isotropy"
TOML

bench batch 240 batch --plan "$out/plan.toml" --rows "$rows" --memory-rows 0 0
step tests 300 "$PYTHON" -m pytest -p no:cacheprovider -q -m gpu "${tests[@]}"
bench hooks 120 hooks "${hooks[@]}"
bench latent 120 latent "${latent[@]}" --dtype "$dtype"
bench critical-tokens 180 critical-tokens "${critical[@]}" --dtype "$dtype"
bench host 60 host --layers 6 --texts 4

if [ ${#failed[@]} -gt 0 ]; then
  tell "failed: ${failed[*]}"
  exit 1
fi
tell "all steps passed in $SECONDS s"
