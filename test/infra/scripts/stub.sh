#!/bin/sh
# Stands for azd, az and curl in the tests of the scripts: records the call, refuses what the real program does not know (commands.txt; queries.txt
# holds the JMESPath that was tried with the real az), and answers from files that the test wrote. date and sleep are here too: time is a number.
set -eu
program=${0##*/}
stage=${0%/*}/..

now=$(cat "$stage/clock")
case $program in
  date)
    echo "$now"
    exit 0
    ;;
  sleep)
    # Tests of long waits let time pass faster.
    echo $((now + $1 * $(cat "$stage/pace"))) >"$stage/clock"
    exit 0
    ;;
esac

{
  printf '%s' "$program"
  printf '\037%s' "$@"
  printf '\n'
} >>"$stage/calls"

refuse() {
  printf '%s\n' "$program $*" >>"$stage/refused"
  exit 96
}

input=$(cat)

# The line of commands.txt for this call.
isKnown=no
while IFS='|' read -r words count flags; do
  case "$program $* " in
    "$words "*)
      isKnown=yes
      break
      ;;
  esac
done <"$stage/commands.txt"
[ $isKnown = yes ] || refuse "has no such command: $*"
command=$(printf '%s' "${words#"$program"}" | tr ' ' '-')
command=${command#-}
for _ in ${words#"$program"}; do
  shift
done

first='' second='' number=0 location='' name='' config=''
while [ $# -gt 0 ]; do
  case " $flags " in
    *" $1= "*)
      [ $# -ge 2 ] || refuse "$words: $1 needs a value"
      case $1 in
        --location) location=$2 ;;
        --name) name=$2 ;;
        --config) config=$2 ;;
        --query) grep -qxF -e "$2" "$stage/queries.txt" || refuse "$words: unknown query $2" ;;
      esac
      shift 2
      ;;
    *" $1 "*) shift ;;
    *)
      case $1 in
        -*) refuse "$words: no such flag $1" ;;
      esac
      number=$((number + 1))
      [ $number -ne 1 ] || first=$1
      [ $number -ne 2 ] || second=$1
      shift
      ;;
  esac
done
[ "$number" = "$count" ] || refuse "$words takes $count arguments"
[ -z "$input" ] || [ "$config" = - ] || refuse "$words was given input"
[ -z "$input" ] || printf '%s\n' "$input" >>"$stage/inputs"

# The last line of a file `SECONDS|…` whose time has come.
due() {
  began=$(cat "$stage/began")
  awk -F '|' -v passed="$((now - began))" '$1 <= passed { line = $0 } END { sub(/^[^|]*[|]/, "", line); print line }' "$stage/$1"
}

case "$program $command" in
  'azd env-get-value')
    if ! grep -q "^$first=" "$stage/dotenv"; then
      echo "ERROR: key not found in environment values: '$first'"
      exit 1
    fi
    sed -n "s/^$first=//p" "$stage/dotenv"
    ;;
  'azd env-get-values') sed 's/^\([^=]*\)=\(.*\)$/\1="\2"/' "$stage/dotenv" ;;
  'azd env-set')
    sed "/^$first=/d" "$stage/dotenv" >"$stage/dotenv.new"
    printf '%s=%s\n' "$first" "$second" >>"$stage/dotenv.new"
    cat "$stage/dotenv.new" >"$stage/dotenv"
    ;;
  'azd auth-token')
    if [ ! -f "$stage/token" ]; then
      echo "ERROR: not logged in, run 'azd auth login' to login"
      exit 1
    fi
    printf '{\n  "token": "%s",\n  "expiresOn": "2026-11-27T14:00:00Z"\n}\n' "$(cat "$stage/token")"
    ;;
  'azd up' | 'azd down')
    # shellcheck disable=SC1090 # Written by the test.
    [ ! -f "$stage/$command" ] || . "$stage/$command"
    ;;
  'azd '*) ;;
  'az '*)
    answer="$stage/az/$command${location:+.$location}${name:+.$name}"
    if [ ! -f "$answer" ]; then
      echo "ERROR: (AuthorizationFailed) no answer for $command" >&2
      exit 1
    fi
    cat "$answer"
    ;;
  curl*)
    case $first in
      */healthz)
        status=$(due healthz)
        printf '%s' "$status"
        ;;
      *)
        case $first in
          *azure-api.net/*) line=$(due gateway) ;;
          *) line=$(due completion) ;;
        esac
        status=${line%%|*}
        code=${line#*|}
        [ "$status" = 000 ] || printf 'HTTP/2 %s \r\ncontent-type: application/json\r\n' "$status"
        case $status in
          000) ;;
          200) printf 'X-Balancer-Backend: openai2\r\nx-balancer-trace: openai1=429(900ms) openai2=200\r\n\r\n{"choices":[{"message":{"content":"Hello."}}]}' ;;
          *) printf '\r\n{"error":{"code":"%s","message":"why it was so","type":"x"}}' "$code" ;;
        esac
        printf '\n%s' "$status"
        ;;
    esac
    [ "$status" != 000 ] || exit 7
    ;;
esac
