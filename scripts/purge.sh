#!/bin/sh
# For what `azd down --purge --force` could not purge: Azure OpenAI resources and API Management services that are deleted but still hold their
# names and their quota. Only those of this environment's resource group are touched. purge.ps1 is the same for Windows.
# Usage: scripts/purge.sh [--dry-run] [environment or resource group]
# A name that begins with rg- is a resource group; any other is an environment, whose resource group is rg-NAME.
set -eu
# shellcheck source=scripts/settings.sh
. "$(dirname "$0")/settings.sh"

export AZURE_CORE_ONLY_SHOW_ERRORS=true AZURE_EXTENSION_USE_DYNAMIC_INSTALL=no

# Step: see what to purge
is_dry=no name='' environment=''
for argument in "$@"; do
  case $argument in
    --dry-run) is_dry=yes ;;
    -*)
      complain "Usage: scripts/purge [--dry-run] [environment or resource group]"
      exit 2
      ;;
    *) name=$argument ;;
  esac
done

# What the azd environment says; empty when it says nothing. azd writes its own error to the output, so only a success counts.
value_of() { # NAME [--environment NAME]
  if answer=$(azd env get-value "$@" --no-prompt </dev/null 2>/dev/null); then
    printf '%s' "$answer"
  fi
}

case $name in
  '')
    group=${AZURE_RESOURCE_GROUP:-}
    name=${AZURE_ENV_NAME:-}
    [ -n "$group$name" ] || name=$(value_of AZURE_ENV_NAME)
    [ -n "$group" ] || [ -z "$name" ] || group="rg-$name"
    ;;
  rg-*) group=$name ;;
  *) group="rg-$name" environment=$name ;;
esac
if [ -z "$group" ]; then
  complain "There is no azd environment here. Name it: scripts/purge NAME"
  exit 1
fi

# Step: see whether az can be asked
subscription=${AZURE_SUBSCRIPTION_ID:-}
[ -n "$subscription" ] || [ -z "$environment" ] || subscription=$(value_of AZURE_SUBSCRIPTION_ID --environment "$environment")
[ -n "$subscription" ] || subscription=$(value_of AZURE_SUBSCRIPTION_ID)
if [ -z "$subscription" ]; then
  complain "The subscription is not known: set the environment variable AZURE_SUBSCRIPTION_ID to its id"
  exit 1
fi
if ! command -v az >/dev/null 2>&1; then
  complain "The Azure CLI (az) is needed for purging, and is not installed: https://aka.ms/azure-cli"
  exit 1
fi
if ! az account show --subscription "$subscription" --query id --output tsv </dev/null >/dev/null 2>&1; then
  complain "The Azure CLI is not logged in, or not for subscription $subscription: az login"
  exit 1
fi

lower() {
  printf '%s' "$1" | tr -d ' ' | tr '[:upper:]' '[:lower:]'
}

# Is that id of this environment's resource group? Azure writes it in any case.
is_ours() { # ID
  case "$(lower "$1")/" in
    */resourcegroups/"$(lower "$group")"/*) return 0 ;;
  esac
  return 1
}

cannot() {
  complain "The Azure CLI could not list or purge what was deleted. That needs Contributor on the whole subscription $subscription."
  exit 1
}

tab=$(printf '\t')
purged=0

# Step: purge Azure OpenAI resources
accounts=$(az cognitiveservices account list-deleted --subscription "$subscription" --query "[].[name, location, id]" --output tsv </dev/null) || cannot
while IFS=$tab read -r account location id; do
  is_ours "$id" || continue
  location=$(lower "$location")
  purged=$((purged + 1))
  say "Azure OpenAI resource $account in $location"
  [ $is_dry = no ] || continue
  az cognitiveservices account purge --subscription "$subscription" --resource-group "$group" --location "$location" --name "$account" </dev/null || cannot
done <<EOF
$accounts
EOF

# Step: purge API Management services
services=$(az apim deletedservice list --subscription "$subscription" --query "[].[name, location, serviceId]" --output tsv </dev/null) || cannot
while IFS=$tab read -r service location id; do
  is_ours "$id" || continue
  location=$(lower "$location")
  purged=$((purged + 1))
  say "API Management service $service in $location"
  [ $is_dry = no ] || continue
  az apim deletedservice purge --subscription "$subscription" --location "$location" --service-name "$service" </dev/null || cannot
done <<EOF
$services
EOF

# Step: say what was done
if [ $is_dry = yes ]; then
  say "$purged of $group could be purged. Nothing was."
else
  say "$purged of $group purged."
fi
