# shellcheck shell=sh
# Read by the other scripts: how they speak, and whether the settings of the azd environment are right.
# azd takes its default, without a word, for a number or a list that it cannot read, and a wrong list of keys or ids shows only after
# many minutes, as a container that does not start. So every mistake is named before anything is created. No key is ever printed.
# settings.ps1 is the same for Windows; a test holds the steps and the messages of the two equal.

# Ranges such as a-z are of ASCII.
LC_ALL=C
export LC_ALL

say() {
  printf '%s\n' "$1"
}

complain() {
  printf '%s\n' "$1" >&2
}

# What goes between the parts of a line that scripts read: no setting can hold it.
separator=$(printf '\037')

mistakes=''

mistake() {
  mistakes="$mistakes- $1
"
}

# Forms. An empty setting counts as unset, so the checks are not asked for one.

is_whole() { # VALUE MOST: of 1 and more
  case $1 in
    '' | 0* | *[!0-9]* | ??????????*) return 1 ;;
  esac
  [ "$1" -le "$2" ]
}

is_one_of() { # VALUE 'CHOICE CHOICE'
  case $1 in
    '' | *' '*) return 1 ;;
  esac
  case " $2 " in
    *" $1 "*) return 0 ;;
  esac
  return 1
}

is_name() { # VALUE
  case $1 in
    '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) return 1 ;;
  esac
  [ ${#1} -le 64 ]
}

is_id() { # VALUE
  h='[0-9A-Fa-f]'
  h4="$h$h$h$h"
  # shellcheck disable=SC2254 # It is a pattern.
  case $1 in
    $h4$h4-$h4-$h4-$h4-$h4$h4$h4) return 0 ;;
  esac
  return 1
}

is_region() { # VALUE: 'East US 2' is eastus2
  case $1 in
    *[!A-Za-z0-9\ ]*) return 1 ;;
    *[A-Za-z0-9]*) return 0 ;;
  esac
  return 1
}

is_origin() { # VALUE: https://host, perhaps with a port, without a path
  rest=${1#https://}
  rest=${rest%/}
  case $1 in
    https://*) ;;
    *) return 1 ;;
  esac
  case $rest in
    *:*) is_whole "${rest#*:}" 65535 || return 1 ;;
  esac
  case ${rest%%:*} in
    '' | [!A-Za-z0-9]* | *[!A-Za-z0-9.-]*) return 1 ;;
  esac
}

# Each item of a list: `while next_item; do` something with "$item" `; done`, after `rest` was set to the list and a comma.
next_item() {
  [ -n "$rest" ] || return 1
  item=${rest%%,*}
  rest=${rest#*,}
  number=$((number + 1))
}

is_mapping() { # VALUE: chat=gpt-eu,embedding=emb-eu, every name once
  rest="$1," number=0 names=','
  while next_item; do
    name=${item%%=*}
    case $item in
      *[!!-~]* | =* | *=) return 1 ;;
      *=*) ;;
      *) return 1 ;;
    esac
    case $names in
      *",$name,"*) return 1 ;;
    esac
    names="$names$name,"
  done
}

# Checks of one setting. Each is told its name, its value and what to set for example.

check_whole() { # NAME VALUE MOST EXAMPLE
  if [ -n "$2" ] && ! is_whole "$2" "$3"; then
    setting=$1 value=$2 most=$3 example=$4
    mistake "$setting is '$value', but must be a whole number from 1 to $most, of digits only: azd env set $setting $example"
  fi
}

check_choice() { # NAME VALUE 'CHOICE CHOICE' EXAMPLE
  if [ -n "$2" ] && ! is_one_of "$2" "$3"; then
    setting=$1 value=$2 choices=$3 example=$4
    mistake "$setting is '$value', but must be one of $choices, written exactly so: azd env set $setting $example"
  fi
}

check_name() { # NAME VALUE EXAMPLE
  if [ -n "$2" ] && ! is_name "$2"; then
    setting=$1 value=$2 example=$3
    mistake "$setting is '$value', but must be of letters, digits, dot, dash and underscore: azd env set $setting $example"
  fi
}

check_address() { # NAME VALUE EXAMPLE
  [ -n "$2" ] || return 0
  case $2 in
    *[!A-Za-z0-9@._+-]* | *@*@* | @* | *@) ;;
    *@*) return 0 ;;
  esac
  setting=$1 value=$2 example=$3
  mistake "$setting is '$value', but must be a mail address: azd env set $setting $example"
}

check_tenants() { # NAME VALUE
  setting=$1 rest="$2," number=0
  [ -n "$2" ] || return 0
  while next_item; do
    is_id "$item" ||
      mistake "$setting: item $number is not a tenant id: azd env set $setting 00000000-0000-0000-0000-000000000000 (several in quotes, with commas between and no spaces)"
  done
}

check_ids() { # NAME VALUE
  setting=$1 rest="$2," number=0 seen=','
  [ -n "$2" ] || return 0
  while next_item; do
    id=$(printf '%s' "${item#*=}" | tr '[:upper:]' '[:lower:]')
    if ! is_id "$id" || ! is_name "${item%%=*}"; then
      mistake "$setting: item $number is not an application or object id, with or without a name: azd env set $setting chat-app=00000000-0000-0000-0000-000000000000 (several in quotes, with commas between and no spaces)"
      continue
    fi
    case $seen in
      *",$id,"*) mistake "$setting: the id of item $number is there twice: name each id once with azd env set $setting" ;;
    esac
    seen="$seen$id,"
  done
}

check_keys() { # NAME VALUE: `keys` goes from one list to the next, so that no key is in both
  setting=$1 rest="$2," number=0
  [ -n "$2" ] || return 0
  while next_item; do
    key=${item#*=}
    case $item in
      *=?*) ;;
      *) key=' ' ;;
    esac
    # Quotes and backslashes: azd puts the value into JSON as it is.
    case $key in
      *[!!-~]* | *'"'* | *\\*) is_right=no ;;
      *) is_right=yes ;;
    esac
    if [ $is_right = no ] || ! is_name "${item%%=*}"; then
      mistake "$setting: item $number is not name=key, with a name of letters, digits, dot, dash and underscore (at most 64) and a key of printable ASCII without spaces, commas, quotes and backslashes: azd env set $setting \"team-a=KEY1,team-b=KEY2\""
      continue
    fi
    case $keys in
      *",$key,"*) mistake "$setting: the key of item $number is there already, in this list or in CLIENT_API_KEYS: give every key once with azd env set $setting \"team-a=KEY1,team-b=KEY2\"" ;;
    esac
    keys="$keys$key,"
  done
}

is_limit() { # VALUE: 50000tpm:300rpm:20concurrent, in any order, each at most once
  parts="$1:" units=' '
  while [ -n "$parts" ]; do
    part=${parts%%:*}
    parts=${parts#*:}
    amount=${part%%[!0-9]*}
    unit=${part#"$amount"}
    case $amount in
      '' | 0* | ?????????????*) return 1 ;;
    esac
    is_one_of "$unit" 'tpm rpm concurrent' || return 1
    case $units in
      *" $unit "*) return 1 ;;
    esac
    units="$units$unit "
  done
}

check_limits() { # NAME VALUE
  setting=$1 rest="$2," number=0 names=','
  [ -n "$2" ] || return 0
  while next_item; do
    name=${item%%=*}
    case $item in
      *=*) is_right=yes ;;
      *) is_right=no ;;
    esac
    [ "$name" = '*' ] || is_name "$name" || is_right=no
    is_limit "${item#*=}" || is_right=no
    case $names in
      *",$name,"*) is_right=no ;;
    esac
    names="$names$name,"
    [ $is_right = yes ] ||
      mistake "$setting: item $number is not like team-a=50000tpm:300rpm:20concurrent (or *=100rpm), with numbers above 0 and every name once: azd env set $setting \"team-a=50000tpm:300rpm,*=100rpm\""
  done
}

# BALANCER_SETTINGS

# Not here: what the template sets itself, what has a setting of its own, and what is about who may call.
balancer_settings='CONNECT_TIMEOUT_SECONDS HTTP_TIMEOUT_SECONDS STREAM_IDLE_TIMEOUT_SECONDS SSE_KEEPALIVE_SECONDS FIRST_TOKEN_TIMEOUT_SECONDS MAX_HOLD_SECONDS PRIORITY_WAIT_MS SPILL_LONG_PROMPTS AFFINITY STREAM_USAGE MAX_BODY_BYTES MAX_BUFFERED_BYTES MAX_CONCURRENT_REQUESTS TRACE_SAMPLE_PERCENT LOG_FORMAT'

is_count() { # VALUE: of 0 and more
  case $1 in
    '' | *[!0-9]* | ????????????????*) return 1 ;;
  esac
}

is_seconds() { # VALUE: perhaps with decimals, three at most
  decimals=0
  case $1 in
    *.*) decimals=${1#*.} ;;
  esac
  case $decimals in
    '' | *[!0-9]* | ????*) return 1 ;;
  esac
  case ${1%%.*} in
    '' | *[!0-9]* | ???????*) return 1 ;;
  esac
}

is_percent() { # VALUE: like seconds, but with three digits at most before the decimals
  case ${1%%.*} in
    ????*) return 1 ;;
  esac
  is_seconds "$1"
}

# Sets `own` to the setting of this template that a setting of the balancer comes from; to nothing when there is none.
find_own_setting() { # NAME
  own=''
  case $1 in
    CLIENT_API_KEYS | CLIENT_LIMITS | OPERATOR_KEYS | ENTRA_TENANT_ID | ENTRA_ALLOWED_CLIENTS | ENTRA_ALLOWED_OPERATORS) own=$1 ;;
    BACKEND_*_URL | BACKEND_*_PRIORITY | BACKEND_*_WEIGHT | BACKEND_*_DEPLOYMENTS | BACKEND_*_DEPLOYMENT_NAME) own=OPENAI_BACKENDS ;;
    DEPLOYMENT_ALIASES) own=CHAT_MODEL_NAME ;;
  esac
}

# Sets `form` to what the value of such a setting must be; to nothing when it is so. Bounds are the balancer's to check.
find_form() { # NAME VALUE
  choices=''
  case $1 in
    *_SECONDS)
      form='a number of seconds such as 30 or 0.5'
      ! is_seconds "$2" || form=''
      ;;
    *_MS | *_BYTES | *_REQUESTS | *_CAPACITY)
      form='a whole number, of digits only'
      ! is_count "$2" || form=''
      ;;
    *_PERCENT)
      form='a number of percent such as 10 or 0.5'
      ! is_percent "$2" || form=''
      ;;
    AFFINITY) choices='off prefix user' ;;
    STREAM_USAGE) choices='add off' ;;
    LOG_FORMAT) choices='text json' ;;
    *) choices='true false' ;;
  esac
  if [ -n "$choices" ]; then
    form="one of $choices, written exactly so"
    ! is_one_of "$2" "$choices" || form=''
  fi
}

# No value is shown, and no name that is none: it may be a key that was meant for another setting.
check_balancer_settings() { # NAME VALUE
  setting=$1 rest="$2 " number=0 names=' '
  while [ -n "$rest" ]; do
    item=${rest%% *}
    rest=${rest#* }
    [ -n "$item" ] || continue
    number=$((number + 1))
    name=${item%%=*}
    case $item in
      *=?*) ;;
      *) name='' ;;
    esac
    case $name in
      '' | [!A-Z]* | *[!A-Z0-9_]*)
        mistake "$setting: item $number is not NAME=value, with the name in capitals: azd env set $setting \"AFFINITY=prefix MAX_HOLD_SECONDS=5\""
        continue
        ;;
    esac
    case $names in
      *" $name "*) mistake "$setting has $name twice: give it once with azd env set $setting \"AFFINITY=prefix MAX_HOLD_SECONDS=5\"" ;;
    esac
    names="$names$name "
    find_own_setting "$name"
    is_known=yes
    case $name in
      BACKEND_*_CAPACITY)
        n=${name#BACKEND_}
        n=${n%_CAPACITY}
        [ "$count" -eq 0 ] || is_whole "$n" "$count" ||
          mistake "$setting: there is no resource for $name, but 1 to $count: azd env set $setting \"BACKEND_1_CAPACITY=300\""
        ;;
      *) is_one_of "$name" "$balancer_settings" || is_known=no ;;
    esac
    find_form "$name" "${item#*=}"
    if [ -n "$own" ]; then
      mistake "$setting cannot set $name, which comes from a setting of its own: azd env set $own"
    elif [ $is_known = no ]; then
      mistake "$setting cannot set $name; it can set $balancer_settings and BACKEND_n_CAPACITY: azd env set $setting \"AFFINITY=prefix MAX_HOLD_SECONDS=5\""
    elif [ -n "$form" ]; then
      mistake "$setting: the value of $name is not right, but must be $form: azd env set $setting \"AFFINITY=prefix MAX_HOLD_SECONDS=5\""
    fi
  done
}

# OPENAI_BACKENDS

skus='GlobalStandard DataZoneStandard Standard ProvisionedManaged GlobalProvisionedManaged DataZoneProvisionedManaged'

# Prints a line for each value of OPENAI_BACKENDS (item, key, what it is, value) and one at the end of each item; only `bad` when it is not a JSON
# list of flat objects. Read as strictly as azd does. Text with a backslash is refused too: no value here needs one.
read_backends() {
  awk '
    function skip() { sub(/^[ \t\r\n]+/, "", text) }
    function found(form) {
      skip()
      if (!match(text, form)) return 0
      token = substr(text, 1, RLENGTH)
      text = substr(text, RLENGTH + 1)
      if (token ~ /[\001-\037]/) isBad = 1
      return 1
    }
    function need(form) { if (!isBad && !found(form)) isBad = 1 }
    function line(key, kind, held) { lines = lines item sep key sep kind sep held "\n" }
    function value(key) {
      if (found("^\"[^\"\\\\]*\"")) line(key, "text", substr(token, 2, length(token) - 2))
      else if (found("^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?")) line(key, "number", token)
      else if (found("^(true|false|null)")) line(key, "other", token)
      else isBad = 1
    }
    function pair(  key) {
      need("^\"[^\"\\\\]*\"")
      key = substr(token, 2, length(token) - 2)
      need("^:")
      if (!isBad) value(key)
    }
    BEGIN {
      text = ENVIRON["OPENAI_BACKENDS"]
      sep = sprintf("%c", 31)
      need("^\\[")
      if (!isBad && !found("^\\]")) {
        do {
          item++
          need("^[{]")
          if (!isBad && !found("^[}]")) {
            do pair(); while (!isBad && found("^,"))
            need("^[}]")
          }
          line("", "end", "")
        } while (!isBad && found("^,"))
        need("^\\]")
      }
      skip()
      if (isBad || text != "") print "bad"
      else printf "%s", lines
    }' </dev/null
}

forget_item() {
  given=' ' location='' url='' capacity='' sku='' deployments=''
}

has() { # KEY: does the item have it?
  case $given in
    *" $1 "*) return 0 ;;
  esac
  return 1
}

# One value of an item.
check_value() { # KEY KIND VALUE
  key=$1
  ! has "$key" || mistake "$where has $key twice"
  given="$given$key "
  case $key in
    location | url | sku | deployments) [ "$2" = text ] || mistake "$where: $key must be a text in quotes" ;;
    priority | weight) { [ "$2" = number ] && is_whole "$3" 100; } || mistake "$where: $key must be a whole number from 1 to 100, without quotes" ;;
    capacity) { [ "$2" = number ] && is_whole "$3" 999999999; } || mistake "$where: $key must be a whole number of at least 1, without quotes" ;;
    *)
      mistake "$where: '$key' is not one of location, url, priority, weight, capacity, sku, deployments, written exactly so"
      return 0
      ;;
  esac
  case $key in
    location) location=$3 ;;
    url) url=$3 ;;
    capacity) capacity=$3 ;;
    sku) sku=$3 ;;
    deployments) deployments=$3 ;;
  esac
}

# What the values of an item mean together.
check_item() {
  if has location && has url; then
    mistake "$where has both location and url: a resource is either created (location) or brought along (url)"
  elif ! has location && ! has url; then
    mistake "$where has neither location nor url: a resource is either created (location) or brought along (url)"
  fi
  if has location; then
    is_region "$location" || mistake "$where: location must be a region such as eastus2"
  elif has capacity || has sku; then
    mistake "$where: capacity and sku belong beside location, for a resource that is created"
  fi
  if has url; then
    is_origin "$url" || mistake "$where: url must be https and a host without a path, such as https://my-openai.openai.azure.com"
  elif has deployments; then
    mistake "$where: deployments belong beside url, for a resource that is brought along"
  fi
  if has sku && ! is_one_of "$sku" "$skus"; then
    mistake "$where: sku must be one of $skus, written exactly so"
  fi
  if has deployments; then
    is_mapping "$deployments" || mistake "$where: deployments must be like chat=gpt-eu,embedding=emb-eu, every name once"
    load_balancer=${LOAD_BALANCER:-aca}
    [ "$load_balancer" = aca ] ||
      mistake "$where: deployments are for the container app only, not for LOAD_BALANCER $load_balancer: name the deployments of that resource as those of the others"
  fi
}

check_backends() {
  before=$mistakes
  facts=$(read_backends)
  case $OPENAI_BACKENDS in
    *'"'*) are_quotes_lost=no ;;
    *'{'*) are_quotes_lost=yes ;;
    *) are_quotes_lost=no ;;
  esac
  if [ $are_quotes_lost = yes ]; then
    mistake "OPENAI_BACKENDS has lost its quotes on the way through the shell (older PowerShells take them away): put a backslash before each, or use OPENAI_LOCATIONS where regions are enough: azd env set OPENAI_LOCATIONS \"eastus2,swedencentral,westus3\""
  elif [ "$facts" = bad ]; then
    mistake "OPENAI_BACKENDS is not a JSON list of flat objects"
  else
    count=0
    forget_item
    while IFS=$separator read -r entry key kind value; do
      [ -n "$entry" ] || continue
      count=$entry
      where="OPENAI_BACKENDS: item $entry"
      if [ "$kind" != end ]; then
        check_value "$key" "$kind" "$value"
        continue
      fi
      check_item
      [ -z "$location" ] || add_resource "$entry" "$location" "$capacity" "$sku"
      forget_item
    done <<EOF
$facts
EOF
    is_whole "$count" 20 || mistake "OPENAI_BACKENDS has $count items, but must have 1 to 20"
  fi
  [ -z "${OPENAI_LOCATIONS:-}" ] ||
    mistake "OPENAI_LOCATIONS and OPENAI_BACKENDS are both set: keep one and empty the other: azd env set OPENAI_LOCATIONS= (or OPENAI_BACKENDS=)"
  [ "$mistakes" = "$before" ] ||
    mistake "OPENAI_BACKENDS should be like this: azd env set OPENAI_BACKENDS '[{\"location\":\"eastus2\"},{\"url\":\"https://my-openai.openai.azure.com\",\"priority\":2}]'"
}

# How many resources there are, of both kinds; 0 when that cannot be read.
count=0

# The resources that will be created, a line each: number, region, capacity and SKU of the chat deployment (- for the settings').
resources=''

add_resource() { # NUMBER REGION CAPACITY SKU
  region=$(printf '%s' "$2" | tr -d ' ' | tr '[:upper:]' '[:lower:]')
  resources="$resources$1 $region ${3:--} ${4:--}
"
}

check_locations() { # LIST
  rest="$1," number=0
  while next_item; do
    if is_region "$item"; then
      add_resource "$number" "$item" '' ''
    else
      mistake "OPENAI_LOCATIONS: item $number is not a region: azd env set OPENAI_LOCATIONS \"eastus2,swedencentral,westus3\""
    fi
  done
  count=$number
  [ "$number" -le 20 ] || mistake "OPENAI_LOCATIONS has $number regions, but must have at most 20: azd env set OPENAI_LOCATIONS \"eastus2,swedencentral,westus3\""
}

settings='LOAD_BALANCER OPENAI_CAPACITY EMBEDDING_CAPACITY OPENAI_LOCATIONS OPENAI_BACKENDS CHAT_MODEL_NAME CHAT_MODEL_VERSION CHAT_MODEL_SKU EMBEDDING_MODEL_NAME EMBEDDING_MODEL_VERSION EMBEDDING_MODEL_SKU CLIENT_API_KEYS CLIENT_LIMITS BALANCER_SETTINGS OPERATOR_KEYS ENTRA_TENANT_ID ENTRA_ALLOWED_CLIENTS ENTRA_ALLOWED_OPERATORS MIN_REPLICAS MAX_REPLICAS ALERT_EMAIL APIM_SKU APIM_PUBLISHER_EMAIL'

# A name with a typing error sets nothing, and what it was meant to set may be who may call. Only names that look like ours are looked at: others may
# be of other programs. What azd prints for a value is not looked at but for being empty.
check_names() {
  names=$(azd env get-values --no-prompt </dev/null 2>/dev/null | sed -n 's/^\([A-Za-z][A-Za-z0-9_]*\)=.*[^"].*$/\1/p') || names=''
  for name in $names; do
    if is_one_of "$name" "$balancer_settings"; then
      mistake "$name would change nothing here. Put it into BALANCER_SETTINGS and empty it: azd env set $name="
      continue
    fi
    case $(printf '%s' "$name" | tr '[:lower:]' '[:upper:]') in
      APIM_GATEWAY_URL) continue ;;
      ALERT* | APIM_* | BACKEND_* | BALANC* | CHAT_MODEL* | CLIENT_* | EMBEDDING_* | ENTRA_* | LOAD_BAL* | MAX_REP* | MIN_REP* | OPENAI_BACK* | OPENAI_CAP* | OPENAI_LOC* | OPENAI_REG* | OPERATOR*) ;;
      *) continue ;;
    esac
    is_one_of "$name" "$settings" || mistake "$name is not a setting of this template, so it would change nothing; there are $settings. Empty it: azd env set $name="
  done
}

check_settings() {
  # Step: check the names
  check_names

  # Step: check the front
  check_choice LOAD_BALANCER "${LOAD_BALANCER:-}" 'aca apim both' aca
  check_choice APIM_SKU "${APIM_SKU:-}" 'BasicV2 StandardV2 Developer Basic Standard Premium' BasicV2
  check_address ALERT_EMAIL "${ALERT_EMAIL:-}" team@example.com
  check_address APIM_PUBLISHER_EMAIL "${APIM_PUBLISHER_EMAIL:-}" noreply@example.com

  # Step: check the numbers
  check_whole OPENAI_CAPACITY "${OPENAI_CAPACITY:-}" 999999999 50
  check_whole EMBEDDING_CAPACITY "${EMBEDDING_CAPACITY:-}" 999999999 50
  check_whole MIN_REPLICAS "${MIN_REPLICAS:-}" 1000 1
  check_whole MAX_REPLICAS "${MAX_REPLICAS:-}" 1000 10
  least=${MIN_REPLICAS:-1} most=${MAX_REPLICAS:-10}
  if is_whole "$least" 1000 && is_whole "$most" 1000 && [ "$least" -gt "$most" ]; then
    mistake "MIN_REPLICAS is $least and MAX_REPLICAS $most, which is less: azd env set MAX_REPLICAS $least"
  fi

  # Step: check the models
  check_name CHAT_MODEL_NAME "${CHAT_MODEL_NAME:-}" gpt-5.4-mini
  check_name CHAT_MODEL_VERSION "${CHAT_MODEL_VERSION:-}" 2026-03-17
  check_choice CHAT_MODEL_SKU "${CHAT_MODEL_SKU:-}" "$skus" GlobalStandard
  check_name EMBEDDING_MODEL_NAME "${EMBEDDING_MODEL_NAME:-}" text-embedding-3-large
  check_name EMBEDDING_MODEL_VERSION "${EMBEDDING_MODEL_VERSION:-}" 1
  check_choice EMBEDDING_MODEL_SKU "${EMBEDDING_MODEL_SKU:-}" "$skus" GlobalStandard

  # Step: check the resources
  if [ -n "${OPENAI_BACKENDS:-}" ]; then
    check_backends
  else
    check_locations "${OPENAI_LOCATIONS:-eastus2,swedencentral,westus3}"
  fi

  # Step: check who may call
  keys=','
  check_keys CLIENT_API_KEYS "${CLIENT_API_KEYS:-}"
  check_keys OPERATOR_KEYS "${OPERATOR_KEYS:-}"
  check_limits CLIENT_LIMITS "${CLIENT_LIMITS:-}"
  check_tenants ENTRA_TENANT_ID "${ENTRA_TENANT_ID:-}"
  check_ids ENTRA_ALLOWED_CLIENTS "${ENTRA_ALLOWED_CLIENTS:-}"
  check_ids ENTRA_ALLOWED_OPERATORS "${ENTRA_ALLOWED_OPERATORS:-}"

  # Step: check what else the balancer is told
  check_balancer_settings BALANCER_SETTINGS "${BALANCER_SETTINGS:-}"

  # Step: name every mistake
  if [ -n "$mistakes" ]; then
    complain "The settings of this azd environment have mistakes. Nothing was changed in Azure."
    printf '%s' "$mistakes" >&2
    complain "Set them right as told, then run the command again."
    return 1
  fi
}

# azd deploys the container app only when DEPLOY_CONTAINER_APP says so (`condition:` in azure.yaml). Unset means true.
set_deploy_container_app() {
  # Step: say whether there is a container app to deploy to
  wanted=true
  [ "${LOAD_BALANCER:-aca}" != apim ] || wanted=false
  if [ "${DEPLOY_CONTAINER_APP:-true}" != "$wanted" ]; then
    azd env set DEPLOY_CONTAINER_APP "$wanted" --no-prompt </dev/null
  fi
}
