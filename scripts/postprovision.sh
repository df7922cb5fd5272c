#!/bin/sh
# After provisioning: the azd environment names the URL of each front, and the user is told how to go on. postprovision.ps1 is the same for Windows.
set -eu
# shellcheck source=scripts/settings.sh
. "$(dirname "$0")/settings.sh"

front=${LOAD_BALANCER:-aca}

# Sets `url`. azd has written the outputs of the deployment already; it is asked, so that only what is missing or different is set.
wire() { # NAME VALUE
  name=$1
  url=$(azd env get-value "$name" --no-prompt </dev/null 2>/dev/null) || url=''
  if [ -n "$2" ] && [ "$2" != "$url" ]; then
    url=$2
    azd env set "$name" "$url" --no-prompt </dev/null
  fi
  if [ -z "$url" ]; then
    complain "The deployment gave no $name, although LOAD_BALANCER is $front. Run azd provision --no-state; if that does not help, look at the deployment in the portal."
    exit 1
  fi
}

# Step: make sure that the environment names each URL
container_url='' gateway_url=''
if [ "$front" != apim ]; then
  wire CONTAINER_APP_URL "${CONTAINER_APP_URL:-}"
  container_url=$url
fi
if [ "$front" != aca ]; then
  wire APIM_GATEWAY_URL "${APIM_GATEWAY_URL:-}"
  gateway_url=$url
fi

# Step: print the lines for the chat app
for url in $container_url $gateway_url; do
  say "In the chat app's folder, to use $url:"
  say "  azd env set OPENAI_HOST azure_custom"
  say "  azd env set AZURE_OPENAI_CUSTOM_URL $url"
done
if [ -n "$container_url" ]; then
  say "A chat app of another tenant needs a key at the container app: azd env set CLIENT_API_KEYS chat-app=KEY here, and azd env set AZURE_OPENAI_API_KEY_OVERRIDE KEY there; then azd up in both."
fi
if [ -n "$gateway_url" ]; then
  say "API Management takes no key the way the chat app sends it. Accept the tokens of another tenant: azd env set ENTRA_TENANT_ID \"THIS-TENANT,THAT-TENANT\" here, then azd up."
fi

# Step: print where the log is
if [ -n "$container_url" ]; then
  tenant=${AZURE_TENANT_ID:-} subscription=${AZURE_SUBSCRIPTION_ID:-} group=${AZURE_RESOURCE_GROUP:-} app=${AZURE_CONTAINER_APP_NAME:-}
  say "Log stream of the container app:"
  say "  https://portal.azure.com/#@$tenant/resource/subscriptions/$subscription/resourceGroups/$group/providers/Microsoft.App/containerApps/$app/logstream"
  say "  az containerapp logs show --name $app --resource-group $group --subscription $subscription --follow"
fi
if [ -n "$gateway_url" ]; then
  workspace=${AZURE_LOG_ANALYTICS_WORKSPACE_NAME:-}
  say "What API Management did is in Application Insights (Log Analytics workspace $workspace)."
fi

# Step: print how to let the identity use resources that were brought along
[ -n "${OPENAI_BACKENDS:-}" ] || exit 0
principal=${AZURE_IDENTITY_PRINCIPAL_ID:-}
read_backends | while IFS=$separator read -r _ key kind value; do
  [ "$key $kind" = 'url text' ] || continue
  url=${value%/}
  domain=${url#https://}
  subdomain=${domain%%.*}
  say "No role was assigned at $url, which was brought along. Give it, where ID is what the second line prints:"
  say "  az role assignment create --assignee-object-id $principal --assignee-principal-type ServicePrincipal --role 'Cognitive Services OpenAI User' --scope ID"
  say "  az cognitiveservices account list --query \"[?properties.customSubDomainName=='$subdomain'].id\" --output tsv (with --subscription, if it is in another)"
done
