# After provisioning: the azd environment names the URL of each front, and the user is told how to go on.
# postprovision.sh is the same for other systems.
$ErrorActionPreference = 'Stop'
. "$PSScriptRoot/settings.ps1"

$front = Get-Setting 'LOAD_BALANCER' 'aca'

# azd has written the outputs of the deployment already; it is asked, so that only what is missing or different is set.
function Get-Url($name) {
    $url = Get-AzdValue $name
    $value = Get-Setting $name
    if (($value -cne '') -and ($value -cne $url)) {
        $url = $value
        Set-AzdValue $name $url
    }
    if ($url -ceq '') {
        complain "The deployment gave no $name, although LOAD_BALANCER is $front. Run azd provision --no-state; if that does not help, look at the deployment in the portal."
        exit 1
    }
    return $url
}

# Step: make sure that the environment names each URL
$container_url = ''
$gateway_url = ''
if ($front -cne 'apim') { $container_url = Get-Url 'CONTAINER_APP_URL' }
if ($front -cne 'aca') { $gateway_url = Get-Url 'APIM_GATEWAY_URL' }

# Step: print the lines for the chat app
foreach ($url in @($container_url, $gateway_url)) {
    if ($url -ceq '') { continue }
    say "In the chat app's folder, to use ${url}:"
    say "  azd env set OPENAI_HOST azure_custom"
    say "  azd env set AZURE_OPENAI_CUSTOM_URL $url"
}
if ($container_url -cne '') {
    say "A chat app of another tenant needs a key at the container app: azd env set CLIENT_API_KEYS chat-app=KEY here, and azd env set AZURE_OPENAI_API_KEY_OVERRIDE KEY there; then azd up in both."
}
if ($gateway_url -cne '') {
    say "API Management takes no key the way the chat app sends it. Accept the tokens of another tenant: azd env set ENTRA_TENANT_ID `"THIS-TENANT,THAT-TENANT`" here, then azd up."
}

# Step: print where the log is
if ($container_url -cne '') {
    $tenant = Get-Setting 'AZURE_TENANT_ID'
    $subscription = Get-Setting 'AZURE_SUBSCRIPTION_ID'
    $group = Get-Setting 'AZURE_RESOURCE_GROUP'
    $app = Get-Setting 'AZURE_CONTAINER_APP_NAME'
    say "Log stream of the container app:"
    say "  https://portal.azure.com/#@$tenant/resource/subscriptions/$subscription/resourceGroups/$group/providers/Microsoft.App/containerApps/$app/logstream"
    say "  az containerapp logs show --name $app --resource-group $group --subscription $subscription --follow"
}
if ($gateway_url -cne '') {
    $workspace = Get-Setting 'AZURE_LOG_ANALYTICS_WORKSPACE_NAME'
    say "What API Management did is in Application Insights (Log Analytics workspace $workspace)."
}

# Step: print how to let the identity use resources that were brought along
if ((Get-Setting 'OPENAI_BACKENDS') -ceq '') { exit 0 }
$principal = Get-Setting 'AZURE_IDENTITY_PRINCIPAL_ID'
foreach ($fact in (Read-Backends).Facts) {
    if (($fact.Key -cne 'url') -or ($fact.Kind -cne 'text')) { continue }
    $url = $fact.Value.TrimEnd('/')
    $subdomain = ($url -creplace '\Ahttps://', '').Split('.')[0]
    say "No role was assigned at $url, which was brought along. Give it, where ID is what the second line prints:"
    say "  az role assignment create --assignee-object-id $principal --assignee-principal-type ServicePrincipal --role 'Cognitive Services OpenAI User' --scope ID"
    say "  az cognitiveservices account list --query `"[?properties.customSubDomainName=='$subdomain'].id`" --output tsv (with --subscription, if it is in another)"
}
exit 0
