# Before anything is created: are the settings right, and is there quota enough in each region? The quota is asked with az, where it is installed
# and logged in; without it nothing is checked and nothing stops. Nothing is ever asked of the user. preprovision.sh is the same for other systems.
$ErrorActionPreference = 'Stop'
. "$PSScriptRoot/settings.ps1"

if (-not (Test-Settings)) { exit 1 }
Set-DeployContainerApp

$env:AZURE_CORE_ONLY_SHOW_ERRORS = 'true'
$env:AZURE_EXTENSION_USE_DYNAMIC_INSTALL = 'no'
$azure_subscription_id = Get-Setting 'AZURE_SUBSCRIPTION_ID'
$azure_resource_group = Get-Setting 'AZURE_RESOURCE_GROUP'

function Invoke-Az([string[]] $arguments) {
    return Invoke-Program 'az' ($arguments + @('--subscription', $azure_subscription_id, '--output', 'tsv'))
}

function not_checked($reason) {
    say "Quota was not checked: $reason"
    exit 0
}

# Step: see whether quota can be checked
if ($resources.Count -eq 0) { not_checked "no resource is created here" }
if (-not (Get-Command 'az' -ErrorAction SilentlyContinue)) { not_checked "the Azure CLI (az) is not installed; azd does not need it" }
if ($azure_subscription_id -ceq '') { not_checked "AZURE_SUBSCRIPTION_ID is not set yet" }
if (-not (Invoke-Az @('account', 'show', '--query', 'id')).IsRight) {
    not_checked "the Azure CLI is not logged in, or not for subscription $azure_subscription_id (az login)"
}

# Step: list what is needed
$default_capacity = Get-Setting 'OPENAI_CAPACITY' '30'
$needs = New-Object 'System.Collections.Generic.List[object]'
$region_list = New-Object 'System.Collections.Generic.List[string]'
foreach ($resource in $resources) {
    $isFixed = -not [string]::IsNullOrEmpty($resource.Capacity)
    $capacity = $default_capacity
    if ($isFixed) { $capacity = $resource.Capacity }
    $sku = Get-Setting 'CHAT_MODEL_SKU' 'GlobalStandard'
    if ($resource.Sku) { $sku = $resource.Sku }
    $needs.Add(@{
            Number = $resource.Number; Region = $resource.Region; What = 'chat'; Sku = $sku; Capacity = [int]$capacity; IsFixed = $isFixed
            Model = (Get-Setting 'CHAT_MODEL_NAME' 'gpt-5.4-mini'); Version = (Get-Setting 'CHAT_MODEL_VERSION' '2026-03-17')
        })
    $needs.Add(@{
            Number = $resource.Number; Region = $resource.Region; What = 'embedding'; IsFixed = $false
            Sku = (Get-Setting 'EMBEDDING_MODEL_SKU' 'GlobalStandard'); Capacity = [int](Get-Setting 'EMBEDDING_CAPACITY' $default_capacity)
            Model = (Get-Setting 'EMBEDDING_MODEL_NAME' 'text-embedding-3-large'); Version = (Get-Setting 'EMBEDDING_MODEL_VERSION' '1')
        })
    if (-not $region_list.Contains($resource.Region)) { $region_list.Add($resource.Region) }
}
$regions = " $($region_list -join ' ') "

# Step: ask for the models and the quota of each region
say "Looking at the quota in$regions"
$pool = @{}
$free = @{}
foreach ($region in $region_list) {
    $answer = Invoke-Az @('cognitiveservices', 'model', 'list', '--location', $region,
        '--query', "[?model.format=='OpenAI' && model.skus].[model.name, model.version, join(' ', model.skus[?usageName].join('=', [name, usageName]))]")
    if (-not $answer.IsRight) { not_checked "the Azure CLI could not list the models of $region (does that region exist, and may you read the subscription?)" }
    foreach ($line in $answer.Lines) {
        $fields = $line.Split("`t")
        if ($fields.Count -lt 3) { continue }
        foreach ($offer in $fields[2].Split(' ')) {
            $pair = Split-Pair $offer
            if ($null -ne $pair) { $pool["$region $($fields[0]) $($fields[1]) $($pair.Name)"] = $pair.Value }
        }
    }
    $answer = Invoke-Az @('cognitiveservices', 'usage', 'list', '--location', $region, '--query', "[].[name.value, currentValue, limit]")
    if (-not $answer.IsRight) { not_checked "the Azure CLI could not list the quota of $region (Cognitive Services Usages Reader is the role that may)" }
    foreach ($line in $answer.Lines) {
        $fields = $line.Split("`t")
        if ($fields.Count -ge 3) { $free["$region $($fields[0])"] = [math]::Floor([double]$fields[2]) - [math]::Floor([double]$fields[1]) }
    }
}

# What is missing: short (name of the quota, needed, free, what each could have) or missing (model, version, SKU).
# What this environment holds already is free for it.
function Compare-Quota($held) {
    $order = New-Object 'System.Collections.Generic.List[string]'
    $sums = @{}
    $left = $free.Clone()
    foreach ($need in $needs) {
        $mine = 0
        $deployment = "$($need.Number) $($need.Region) $($need.Model) $($need.Sku)"
        if ($held.ContainsKey($deployment)) { $mine = $held[$deployment] }
        $name = $pool["$($need.Region) $($need.Model) $($need.Version) $($need.Sku)"]
        if (-not $name -and ($mine -eq 0)) {
            @{ Kind = 'missing'; Region = $need.Region; What = $need.What; Model = $need.Model; Version = $need.Version; Sku = $need.Sku }
        }
        if (-not $name -or -not $left.ContainsKey("$($need.Region) $name")) { continue }
        $key = "$($need.Region) $($need.What) $name"
        if (-not $sums.ContainsKey($key)) {
            $order.Add($key)
            $sums[$key] = @{ Region = $need.Region; What = $need.What; Quota = $name; Needed = 0; Fixed = 0; Sharers = 0 }
        }
        $sums[$key].Needed += $need.Capacity
        $left["$($need.Region) $name"] += $mine
        if ($need.IsFixed) { $sums[$key].Fixed += $need.Capacity }
        else { $sums[$key].Sharers++ }
    }
    foreach ($key in $order) {
        $sum = $sums[$key]
        $rest = $left["$($sum.Region) $($sum.Quota)"]
        if ($sum.Needed -le $rest) { continue }
        $fit = 0
        if ($sum.Sharers -gt 0) { $fit = [math]::Max(0, [math]::Floor(($rest - $sum.Fixed) / $sum.Sharers)) }
        @{ Kind = 'short'; Region = $sum.Region; What = $sum.What; Quota = $sum.Quota; Needed = $sum.Needed; Free = [math]::Max(0, $rest); Fit = $fit }
    }
}

# Step: compare what is needed with what is free
$lacking = @(Compare-Quota @{})
if ($lacking.Count -eq 0) {
    say "No lack of quota was found."
    exit 0
}

# Step: count what this environment holds already
if ($azure_resource_group -cne '') {
    $held = @{}
    $accounts = Invoke-Az @('cognitiveservices', 'account', 'list', '--resource-group', $azure_resource_group,
        '--query', "[].[name, properties.customSubDomainName]")
    if (-not $accounts.IsRight) { not_checked "the Azure CLI could not list the resources of $azure_resource_group" }
    foreach ($line in $accounts.Lines) {
        # openai2-TOKEN-eastus2 is the second resource, in eastus2.
        $account = $line.Split("`t")[0]
        if ($line.Split("`t")[1] -cnotmatch '\Aopenai([0-9]+)-.*-([^-]+)\z') { continue }
        $owner = "$($Matches[1]) $($Matches[2])"
        $answer = Invoke-Az @('cognitiveservices', 'account', 'deployment', 'list', '--resource-group', $azure_resource_group, '--name', $account,
            '--query', "[].[properties.model.name, sku.name, sku.capacity]")
        if (-not $answer.IsRight) { not_checked "the Azure CLI could not list the deployments of $account" }
        foreach ($deployment in $answer.Lines) {
            $fields = $deployment.Split("`t")
            if ($fields.Count -ge 3) { $held["$owner $($fields[0]) $($fields[1])"] += [math]::Floor([double]$fields[2]) }
        }
    }
    $lacking = @(Compare-Quota $held)
}
if ($lacking.Count -eq 0) {
    say "No lack of quota was found."
    exit 0
}

# Step: say what is lacking and how to go on
complain "There is not enough quota in subscription $azure_subscription_id (in thousand tokens a minute, or PTUs). Nothing was changed in Azure."
$fits = @{}
$bad = @()
foreach ($lack in $lacking) {
    $region = $lack.Region
    $what = $lack.What
    $bad += $region
    if ($lack.Kind -ceq 'missing') {
        $model = $lack.Model
        $version = $lack.Version
        $sku = $lack.Sku
        complain "- $region does not offer $model $version as $sku ($what): choose another region, model or SKU"
        continue
    }
    $needed = $lack.Needed
    $quota = $lack.Quota
    $free = $lack.Free
    complain "- ${region}: $needed of $quota are needed ($what), $free are free"
    if (-not $fits.ContainsKey($what) -or ($lack.Fit -lt $fits[$what])) { $fits[$what] = $lack.Fit }
}
$good = @($resources | Where-Object { $bad -cnotcontains $_.Region } | ForEach-Object { $_.Region }) -join ','
$chat_fit = $fits['chat']
$embedding_fit = $fits['embedding']
if ($chat_fit -gt 0) { complain "Use less: azd env set OPENAI_CAPACITY $chat_fit" }
if ($embedding_fit -gt 0) { complain "Use less: azd env set EMBEDDING_CAPACITY $embedding_fit" }
if ((Get-Setting 'OPENAI_BACKENDS') -cne '') { complain "Or change the region or the capacity of those items: azd env set OPENAI_BACKENDS" }
elseif ($good) { complain "Or, in a new environment, leave those regions out: azd env set OPENAI_LOCATIONS `"$good`"" }
else { complain "Or take regions where there is quota (https://ai.azure.com shows it): azd env set OPENAI_LOCATIONS `"REGION,REGION`"" }
complain "Quota of resources that were deleted but not purged comes back after 48 hours, or at once with scripts/purge.sh (purge.ps1)."
exit 1
