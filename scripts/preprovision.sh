#!/bin/sh
# Before anything is created: are the settings right, and is there quota enough in each region? The quota is asked with az, where it is installed
# and logged in; without it nothing is checked and nothing stops. Nothing is ever asked of the user. preprovision.ps1 is the same for Windows.
set -eu
# shellcheck source=scripts/settings.sh
. "$(dirname "$0")/settings.sh"

check_settings || exit 1
set_deploy_container_app

export AZURE_CORE_ONLY_SHOW_ERRORS=true AZURE_EXTENSION_USE_DYNAMIC_INSTALL=no

ask_az() { # ARGUMENTS
  az "$@" --subscription "$AZURE_SUBSCRIPTION_ID" --output tsv </dev/null 2>/dev/null
}

not_checked() { # REASON
  reason=$1
  say "Quota was not checked: $reason"
  exit 0
}

tab=$(printf '\t')

# Step: see whether quota can be checked
[ -n "$resources" ] || not_checked "no resource is created here"
command -v az >/dev/null 2>&1 || not_checked "the Azure CLI (az) is not installed; azd does not need it"
[ -n "${AZURE_SUBSCRIPTION_ID:-}" ] || not_checked "AZURE_SUBSCRIPTION_ID is not set yet"
ask_az account show --query id >/dev/null ||
  not_checked "the Azure CLI is not logged in, or not for subscription $AZURE_SUBSCRIPTION_ID (az login)"

# Step: list what is needed
chat=${CHAT_MODEL_NAME:-gpt-5.4-mini}$tab${CHAT_MODEL_VERSION:-2026-03-17}
embedding=${EMBEDDING_MODEL_NAME:-text-embedding-3-large}$tab${EMBEDDING_MODEL_VERSION:-1}$tab${EMBEDDING_MODEL_SKU:-GlobalStandard}
default_capacity=${OPENAI_CAPACITY:-30}
needs='' regions=' '
while read -r number region capacity sku; do
  [ -n "$number" ] || continue
  fixed=no
  [ "$capacity" = - ] || fixed=yes
  [ "$capacity" != - ] || capacity=$default_capacity
  [ "$sku" != - ] || sku=${CHAT_MODEL_SKU:-GlobalStandard}
  needs="${needs}need$tab$number$tab$region${tab}chat$tab$chat$tab$sku$tab$capacity$tab$fixed
need$tab$number$tab$region${tab}embedding$tab$embedding$tab${EMBEDDING_CAPACITY:-$default_capacity}${tab}no
"
  case $regions in
    *" $region "*) ;;
    *) regions="$regions$region " ;;
  esac
done <<EOF
$resources
EOF

# Step: ask for the models and the quota of each region
say "Looking at the quota in$regions"
offers=''
for region in $regions; do
  models=$(ask_az cognitiveservices model list --location "$region" \
    --query "[?model.format=='OpenAI' && model.skus].[model.name, model.version, join(' ', model.skus[?usageName].join('=', [name, usageName]))]") ||
    not_checked "the Azure CLI could not list the models of $region (does that region exist, and may you read the subscription?)"
  usages=$(ask_az cognitiveservices usage list --location "$region" --query "[].[name.value, currentValue, limit]") ||
    not_checked "the Azure CLI could not list the quota of $region (Cognitive Services Usages Reader is the role that may)"
  offers="$offers$(printf '%s\n' "$models" | sed "s/^/model$tab$region$tab/")
$(printf '%s\n' "$usages" | sed "s/^/usage$tab$region$tab/")
"
done

# Prints what is missing. A line: short, region, chat or embedding, name of the quota, needed, free, what each could have;
# or missing, region, chat or embedding, model, version, SKU. What this environment holds already is free for it.
compare() { # HELD
  printf '%s\n' "$offers" "$1" "$needs" | awk -F '\t' '
    $1 == "model" {
      count = split($5, pairs, " ")
      for (i = 1; i <= count; i++) {
        at = index(pairs[i], "=")
        pool[$2, $3, $4, substr(pairs[i], 1, at - 1)] = substr(pairs[i], at + 1)
      }
    }
    $1 == "usage" { free[$2, $3] = int($5) - int($4); isKnown[$2, $3] = 1 }
    $1 == "held" { held[$2, $3, $4, $5] += $6 }
    $1 == "need" {
      mine = held[$2, $3, $5, $7] + 0
      name = pool[$3, $5, $6, $7]
      if (name == "" && mine == 0) print "missing\t" $3 "\t" $4 "\t" $5 "\t" $6 "\t" $7
      if (name == "" || !(($3, name) in isKnown)) next
      key = $3 "\t" $4 "\t" name
      if (!(key in needed)) order[++last] = key
      needed[key] += $8
      free[$3, name] += mine
      region[key] = $3
      quota[key] = name
      if ($9 == "yes") fixed[key] += $8
      else sharers[key]++
    }
    END {
      for (i = 1; i <= last; i++) {
        key = order[i]
        left = free[region[key], quota[key]]
        if (needed[key] <= left) continue
        fit = sharers[key] ? int((left - fixed[key]) / sharers[key]) : 0
        print "short\t" key "\t" needed[key] "\t" (left > 0 ? left : 0) "\t" (fit > 0 ? fit : 0)
      }
    }'
}

# Step: compare what is needed with what is free
lacking=$(compare '')
if [ -z "$lacking" ]; then
  say "No lack of quota was found."
  exit 0
fi

# Step: count what this environment holds already
if [ -n "${AZURE_RESOURCE_GROUP:-}" ]; then
  held=''
  accounts=$(ask_az cognitiveservices account list --resource-group "$AZURE_RESOURCE_GROUP" --query "[].[name, properties.customSubDomainName]") ||
    not_checked "the Azure CLI could not list the resources of $AZURE_RESOURCE_GROUP"
  while IFS=$tab read -r account domain; do
    # openai2-TOKEN-eastus2 is the second resource, in eastus2.
    number=${domain%%-*}
    number=${number#openai}
    is_whole "$number" 20 || continue
    deployments=$(ask_az cognitiveservices account deployment list --resource-group "$AZURE_RESOURCE_GROUP" --name "$account" \
      --query "[].[properties.model.name, sku.name, sku.capacity]") ||
      not_checked "the Azure CLI could not list the deployments of $account"
    held="$held$(printf '%s\n' "$deployments" | sed "s/^/held$tab$number$tab${domain##*-}$tab/")
"
  done <<EOF
$accounts
EOF
  lacking=$(compare "$held")
fi
if [ -z "$lacking" ]; then
  say "No lack of quota was found."
  exit 0
fi

# Step: say what is lacking and how to go on
complain "There is not enough quota in subscription $AZURE_SUBSCRIPTION_ID (in thousand tokens a minute, or PTUs). Nothing was changed in Azure."
bad=' ' chat_fit='' embedding_fit=''
while IFS=$tab read -r kind region what quota needed free fit; do
  bad="$bad$region "
  if [ "$kind" = missing ]; then
    model=$quota version=$needed sku=$free
    complain "- $region does not offer $model $version as $sku ($what): choose another region, model or SKU"
    continue
  fi
  complain "- $region: $needed of $quota are needed ($what), $free are free"
  case $what in
    chat) [ -n "$chat_fit" ] && [ "$chat_fit" -le "$fit" ] || chat_fit=$fit ;;
    *) [ -n "$embedding_fit" ] && [ "$embedding_fit" -le "$fit" ] || embedding_fit=$fit ;;
  esac
done <<EOF
$lacking
EOF
good=''
while read -r number region capacity sku; do
  case $bad in
    *" $region "*) ;;
    *) good="$good,$region" ;;
  esac
done <<EOF
$resources
EOF
good=${good#,}
good=${good%,}
[ "${chat_fit:-0}" -eq 0 ] || complain "Use less: azd env set OPENAI_CAPACITY $chat_fit"
[ "${embedding_fit:-0}" -eq 0 ] || complain "Use less: azd env set EMBEDDING_CAPACITY $embedding_fit"
if [ -n "${OPENAI_BACKENDS:-}" ]; then
  complain "Or change the region or the capacity of those items: azd env set OPENAI_BACKENDS"
elif [ -n "$good" ]; then
  complain "Or, in a new environment, leave those regions out: azd env set OPENAI_LOCATIONS \"$good\""
else
  complain "Or take regions where there is quota (https://ai.azure.com shows it): azd env set OPENAI_LOCATIONS \"REGION,REGION\""
fi
complain "Quota of resources that were deleted but not purged comes back after 48 hours, or at once with scripts/purge.sh (purge.ps1)."
exit 1
