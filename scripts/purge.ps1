# For what `azd down --purge --force` could not purge: Azure OpenAI resources and API Management services that are deleted but still hold their
# names and their quota. Only those of this environment's resource group are touched. purge.sh is the same for other systems.
# Usage: scripts/purge.ps1 [--dry-run] [environment or resource group]
# A name that begins with rg- is a resource group; any other is an environment, whose resource group is rg-NAME.
$ErrorActionPreference = 'Stop'
. "$PSScriptRoot/settings.ps1"

$env:AZURE_CORE_ONLY_SHOW_ERRORS = 'true'
$env:AZURE_EXTENSION_USE_DYNAMIC_INSTALL = 'no'

# Step: see what to purge
$isDry = $false
$name = ''
$environment = ''
foreach ($argument in $args) {
    if ($argument -ceq '--dry-run') { $isDry = $true }
    elseif ("$argument".StartsWith('-')) {
        complain "Usage: scripts/purge [--dry-run] [environment or resource group]"
        exit 2
    }
    else { $name = "$argument" }
}
if ($name -ceq '') {
    $group = Get-Setting 'AZURE_RESOURCE_GROUP'
    $name = Get-Setting 'AZURE_ENV_NAME'
    if ("$group$name" -ceq '') { $name = Get-AzdValue 'AZURE_ENV_NAME' }
    if (($group -ceq '') -and ($name -cne '')) { $group = "rg-$name" }
}
elseif ($name -clike 'rg-*') { $group = $name }
else {
    $group = "rg-$name"
    $environment = $name
}
if ($group -ceq '') {
    complain "There is no azd environment here. Name it: scripts/purge NAME"
    exit 1
}

# Step: see whether az can be asked
$subscription = Get-Setting 'AZURE_SUBSCRIPTION_ID'
if (($subscription -ceq '') -and ($environment -cne '')) { $subscription = Get-AzdValue 'AZURE_SUBSCRIPTION_ID' @('--environment', $environment) }
if ($subscription -ceq '') { $subscription = Get-AzdValue 'AZURE_SUBSCRIPTION_ID' }
if ($subscription -ceq '') {
    complain "The subscription is not known: set the environment variable AZURE_SUBSCRIPTION_ID to its id"
    exit 1
}
if (-not (Get-Command 'az' -ErrorAction SilentlyContinue)) {
    complain "The Azure CLI (az) is needed for purging, and is not installed: https://aka.ms/azure-cli"
    exit 1
}
if (-not (Invoke-Program 'az' @('account', 'show', '--subscription', $subscription, '--query', 'id', '--output', 'tsv')).IsRight) {
    complain "The Azure CLI is not logged in, or not for subscription ${subscription}: az login"
    exit 1
}

# Is that id of this environment's resource group? Azure writes it in any case.
function Test-Ours($id) {
    return "$id/".ToLowerInvariant().Contains("/resourcegroups/$($group.ToLowerInvariant())/")
}

function Invoke-Az([string[]] $arguments) {
    $answer = Invoke-Program 'az' ($arguments + @('--subscription', $subscription))
    if (-not $answer.IsRight) {
        complain "The Azure CLI could not list or purge what was deleted. That needs Contributor on the whole subscription $subscription."
        exit 1
    }
    return $answer
}

$purged = 0

# Step: purge Azure OpenAI resources
$accounts = Invoke-Az @('cognitiveservices', 'account', 'list-deleted', '--query', "[].[name, location, id]", '--output', 'tsv')
foreach ($line in $accounts.Lines) {
    $account, $location, $id = $line.Split("`t")
    if (-not (Test-Ours $id)) { continue }
    $location = $location.Replace(' ', '').ToLowerInvariant()
    $purged++
    say "Azure OpenAI resource $account in $location"
    if ($isDry) { continue }
    [void](Invoke-Az @('cognitiveservices', 'account', 'purge', '--resource-group', $group, '--location', $location, '--name', $account))
}

# Step: purge API Management services
$services = Invoke-Az @('apim', 'deletedservice', 'list', '--query', "[].[name, location, serviceId]", '--output', 'tsv')
foreach ($line in $services.Lines) {
    $service, $location, $id = $line.Split("`t")
    if (-not (Test-Ours $id)) { continue }
    $location = $location.Replace(' ', '').ToLowerInvariant()
    $purged++
    say "API Management service $service in $location"
    if ($isDry) { continue }
    [void](Invoke-Az @('apim', 'deletedservice', 'purge', '--location', $location, '--service-name', $service))
}

# Step: say what was done
if ($isDry) { say "$purged of $group could be purged. Nothing was." }
else { say "$purged of $group purged." }
exit 0
