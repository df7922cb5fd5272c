#!/bin/sh
# After deploying: does each front really answer? Waits for the container app, then asks for one completion as the person who deployed.
# Role assignments take up to ten minutes to act, so refusals are tried again for as long. postdeploy.ps1 is the same for Windows.
# The waiting uses nothing but `date` and `sleep` (Get-Date and Start-Sleep): tests put their own first on PATH and never wait.
# The token goes to curl through its input, so that no list of processes and no file has it.
set -eu
# shellcheck source=scripts/settings.sh
. "$(dirname "$0")/settings.sh"

front=${LOAD_BALANCER:-aca}
model=${AZURE_OPENAI_CHAT_DEPLOYMENT:-${CHAT_MODEL_NAME:-gpt-5.4-mini}}

now() {
  date +%s
}

# Prints the answer's status; 000 when there is none.
ask_health() { # URL
  curl --silent --output /dev/null --write-out '%{http_code}' --connect-timeout 10 --max-time 10 "$1/healthz" </dev/null || true
}

# Sets `status` and `answer` (headers and body), or returns 1 when azd gives no token. Every try has a fresh token.
ask_completion() { # URL
  token=$(azd auth token --scope https://cognitiveservices.azure.com/.default --output json --no-prompt </dev/null 2>/dev/null |
    sed -n 's/.*"token": *"\([^"]*\)".*/\1/p') || return 1
  [ -n "$token" ] || return 1
  answer=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
    curl --config - --silent --include --write-out '\n%{http_code}' --connect-timeout 10 --max-time 60 \
      --header 'Content-Type: application/json' \
      --data "{\"model\":\"$model\",\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}],\"max_completion_tokens\":500}" \
      "$1/v1/chat/completions") || true
  token=''
  status=${answer##*
}
  [ -n "$status" ] || status=000
}

header_of() { # NAME: of the answer, empty when it is not there
  printf '%s\n' "$answer" | tr -d '\r' | awk -v name="$1: " 'index(tolower($0), name) == 1 { print substr($0, length(name) + 1); exit }'
}

field_of() { # NAME: the first such text in the answer's body
  printf '%s\n' "$answer" | awk -v form="\"$1\": *\"" '
    match($0, form) { text = substr($0, RSTART + RLENGTH); print substr(text, 1, index(text, "\"") - 1); exit }'
}

# Explains the last answer, when the waiting is over.
explain() {
  code=$(field_of code) message=$(field_of message)
  case "$status $code" in
    '502 backend_auth_failed' | '503 backend_auth_pending') complain "The resources refuse the identity of the load balancer: its role does not act yet. Wait some minutes, then run azd deploy; if it goes on, look whether the role Cognitive Services OpenAI User is assigned on each resource." ;;
    401*) complain "The token of azd was refused. It must be of a tenant in ENTRA_TENANT_ID and for https://cognitiveservices.azure.com." ;;
    403*) complain "The call was forbidden: a network rule, or the identity lacks its role on the resources." ;;
    404*) complain "There is no deployment $model, or the placeholder image still answers. Look at the deployments in the portal, and whether azd deploy put the new image in place." ;;
    429*) complain "Every resource was throttled all the time. Give them more quota: azd env set OPENAI_CAPACITY 50, then azd up." ;;
    000*) complain "There was no connection. Look at the log stream, and whether this machine may reach that URL." ;;
    5*) complain "The load balancer or the resources behind it fail. Look at the log stream: the line of the request says why." ;;
    *) complain "Trying again does not help against that answer." ;;
  esac
  [ -z "$code$message" ] || complain "The answer said $code: $message"
}

# Step: see whether there is curl
if ! command -v curl >/dev/null 2>&1; then
  say "curl is not installed: the completion was not tried."
  exit 0
fi

# Gives it ten seconds more, and says so once a minute: `told` is when it was said last.
wait_more() { # TEXT
  text=$1
  if [ $(($(now) - told)) -ge 60 ]; then
    told=$(now)
    say "$text"
  fi
  sleep 10
}

wait_for_health() { # URL
  # Step: wait for the container app
  url=$1 began=$(now) told=$(now)
  while :; do
    status=$(ask_health "$url")
    [ "$status" != 200 ] || break
    waited=$(($(now) - began))
    if [ "$waited" -ge 300 ]; then
      complain "$url/healthz does not answer 200 after $waited s, but $status. Look at the log stream: a wrong setting keeps the container from starting, and its log names it."
      exit 1
    fi
    wait_more "Waiting for $url/healthz ($status, $waited s)"
  done
  say "$url/healthz answers."
}

try_completion() { # URL
  # Step: ask for a completion
  url=$1 began=$(now) told=0
  while :; do
    if ! ask_completion "$url"; then
      say "azd gave no token (azd auth login; with auth.useAzCliAuth, az login): the completion was not tried."
      return 0
    fi
    code=$(field_of code)
    waited=$(($(now) - began))
    case "$status $code" in
      200*)
        backend=$(header_of x-balancer-backend) trace=$(header_of x-balancer-trace)
        [ -n "$trace" ] || trace='not told'
        say "$url answered a completion of $model. It came from $backend (attempts: $trace)"
        return 0
        ;;
      *' client_not_allowed')
        clients=${ENTRA_ALLOWED_CLIENTS:-} principal=${AZURE_PRINCIPAL_ID:-YOUR-OBJECT-ID}
        say "$url works, but you are not in ENTRA_ALLOWED_CLIENTS: the completion was not tried. To add yourself: azd env set ENTRA_ALLOWED_CLIENTS \"$clients,me=$principal\", then azd up."
        return 0
        ;;
      401* | 403* | 404* | 405* | 429* | 5* | 000*) ;;
      *) waited=600 ;;
    esac
    if [ "$waited" -ge 600 ]; then
      complain "$url answered no completion. The last status was $status."
      explain
      exit 1
    fi
    wait_more "Waiting for $url to answer a completion ($status $code, $waited s): roles take up to ten minutes to act"
  done
}

if [ "$front" != apim ] && [ -n "${CONTAINER_APP_URL:-}" ]; then
  wait_for_health "$CONTAINER_APP_URL"
  try_completion "$CONTAINER_APP_URL"
fi
if [ "$front" != aca ] && [ -n "${APIM_GATEWAY_URL:-}" ]; then
  try_completion "$APIM_GATEWAY_URL"
fi
