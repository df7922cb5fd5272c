# Read by the other scripts: how they speak, and whether the settings of the azd environment are right.
# azd takes its default, without a word, for a number or a list that it cannot read, and a wrong list of keys or ids shows only after
# many minutes, as a container that does not start. So every mistake is named before anything is created. No key is ever printed.
# settings.sh is the same for other systems; a test holds the steps and the messages of the two equal.
# Windows PowerShell 5.1 must be able to run it: ASCII only, nothing that came later.

$ErrorActionPreference = 'Stop'

function say($text) {
    [Console]::Out.WriteLine($text)
}

function complain($text) {
    [Console]::Error.WriteLine($text)
}

# An empty setting counts as unset.
function Get-Setting($name, $default = '') {
    $value = [Environment]::GetEnvironmentVariable($name)
    if ([string]::IsNullOrEmpty($value)) { return $default }
    return $value
}

# Runs a program without input and without its complaints. What it complains about would stop Windows PowerShell 5.1.
# Its lines are in $answer.Lines, and $answer.IsRight says whether it ended well.
function Invoke-Program($program, [string[]] $arguments) {
    $ErrorActionPreference = 'Continue'
    # Stays so when the program cannot be started.
    $global:LASTEXITCODE = 1
    $lines = $null | & $program @arguments 2>$null
    $code = $LASTEXITCODE
    return @{ IsRight = ($code -eq 0); Lines = @($lines | Where-Object { $_ }) }
}

function Set-AzdValue($name, $value) {
    $answer = Invoke-Program 'azd' @('env', 'set', $name, $value, '--no-prompt')
    if (-not $answer.IsRight) { throw "azd env set $name failed" }
}

# What the azd environment says; empty when it says nothing. azd writes its own error to the output, so only a success counts.
function Get-AzdValue($name, [string[]] $options = @()) {
    $answer = Invoke-Program 'azd' (@('env', 'get-value', $name) + $options + @('--no-prompt'))
    if (-not $answer.IsRight) { return '' }
    return ($answer.Lines -join '')
}

$mistakes = New-Object 'System.Collections.Generic.List[string]'

function mistake($text) {
    $mistakes.Add("- $text")
}

# Forms. The checks are not asked for an empty setting.

# A whole number of 1 and more.
function Test-Whole($value, $most) {
    return ($value -cmatch '\A[1-9][0-9]{0,8}\z') -and ([int]$value -le $most)
}

function Test-OneOf($value, $choices) {
    return $choices.Split(' ') -ccontains $value
}

function Test-Name($value) {
    return $value -cmatch '\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z'
}

function Test-Id($value) {
    return $value -cmatch '\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\z'
}

# 'East US 2' is eastus2.
function Test-Region($value) {
    return $value -cmatch '\A *[A-Za-z0-9][A-Za-z0-9 ]*\z'
}

# https://host, perhaps with a port, without a path
function Test-Origin($value) {
    if ($value -cnotmatch '\Ahttps://[A-Za-z0-9][A-Za-z0-9.-]*(:([0-9]+))?/?\z') { return $false }
    return ($null -eq $Matches[2]) -or (Test-Whole $Matches[2] 65535)
}

# The parts of name=value, split at the first =; $null when there is none.
function Split-Pair($item) {
    $at = $item.IndexOf('=')
    if ($at -lt 0) { return $null }
    return @{ Name = $item.Substring(0, $at); Value = $item.Substring($at + 1) }
}

# chat=gpt-eu,embedding=emb-eu, every name once
function Test-Mapping($value) {
    $names = New-Object 'System.Collections.Generic.HashSet[string]'
    foreach ($item in $value.Split(',')) {
        if ($item -cnotmatch '\A[\x21-\x7e]+\z') { return $false }
        $pair = Split-Pair $item
        if (($null -eq $pair) -or ($pair.Name -ceq '') -or ($item.EndsWith('='))) { return $false }
        if (-not $names.Add($pair.Name)) { return $false }
    }
    return $true
}

# Checks of one setting. Each is told its name and what to set for example.

function Test-WholeSetting($setting, $most, $example) {
    $value = Get-Setting $setting
    if (($value -cne '') -and -not (Test-Whole $value $most)) {
        mistake "$setting is '$value', but must be a whole number from 1 to $most, of digits only: azd env set $setting $example"
    }
}

function Test-ChoiceSetting($setting, $choices, $example) {
    $value = Get-Setting $setting
    if (($value -cne '') -and -not (Test-OneOf $value $choices)) {
        mistake "$setting is '$value', but must be one of $choices, written exactly so: azd env set $setting $example"
    }
}

function Test-NameSetting($setting, $example) {
    $value = Get-Setting $setting
    if (($value -cne '') -and -not (Test-Name $value)) {
        mistake "$setting is '$value', but must be of letters, digits, dot, dash and underscore: azd env set $setting $example"
    }
}

function Test-Address($setting, $example) {
    $value = Get-Setting $setting
    if (($value -cne '') -and ($value -cnotmatch '\A[A-Za-z0-9._+-]+@[A-Za-z0-9._+-]+\z')) {
        mistake "$setting is '$value', but must be a mail address: azd env set $setting $example"
    }
}

function Test-Tenants($setting) {
    $value = Get-Setting $setting
    if ($value -ceq '') { return }
    $number = 0
    foreach ($item in $value.Split(',')) {
        $number++
        if (-not (Test-Id $item)) {
            mistake "${setting}: item $number is not a tenant id: azd env set $setting 00000000-0000-0000-0000-000000000000 (several in quotes, with commas between and no spaces)"
        }
    }
}

function Test-Ids($setting) {
    $value = Get-Setting $setting
    if ($value -ceq '') { return }
    $number = 0
    $seen = New-Object 'System.Collections.Generic.HashSet[string]'
    foreach ($item in $value.Split(',')) {
        $number++
        $pair = Split-Pair $item
        if ($null -eq $pair) { $pair = @{ Name = $item; Value = $item } }
        if (-not (Test-Id $pair.Value) -or -not (Test-Name $pair.Name)) {
            mistake "${setting}: item $number is not an application or object id, with or without a name: azd env set $setting chat-app=00000000-0000-0000-0000-000000000000 (several in quotes, with commas between and no spaces)"
            continue
        }
        if (-not $seen.Add($pair.Value.ToLowerInvariant())) {
            mistake "${setting}: the id of item $number is there twice: name each id once with azd env set $setting"
        }
    }
}

# $keys goes from one list to the next, so that no key is in both.
function Test-Keys($setting) {
    $value = Get-Setting $setting
    if ($value -ceq '') { return }
    $number = 0
    foreach ($item in $value.Split(',')) {
        $number++
        $pair = Split-Pair $item
        if (($null -eq $pair) -or ($pair.Value -cnotmatch '\A[\x21\x23-\x5b\x5d-\x7e]+\z') -or -not (Test-Name $pair.Name)) {
            mistake "${setting}: item $number is not name=key, with a name of letters, digits, dot, dash and underscore (at most 64) and a key of printable ASCII without spaces, commas, quotes and backslashes: azd env set $setting `"team-a=KEY1,team-b=KEY2`""
            continue
        }
        if (-not $keys.Add($pair.Value)) {
            mistake "${setting}: the key of item $number is there already, in this list or in CLIENT_API_KEYS: give every key once with azd env set $setting `"team-a=KEY1,team-b=KEY2`""
        }
    }
}

# 50000tpm:300rpm:20concurrent, in any order, each at most once
function Test-Limit($value) {
    $units = New-Object 'System.Collections.Generic.HashSet[string]'
    foreach ($part in $value.Split(':')) {
        if ($part -cnotmatch '\A[1-9][0-9]{0,11}(tpm|rpm|concurrent)\z') { return $false }
        if (-not $units.Add($Matches[1])) { return $false }
    }
    return $true
}

function Test-Limits($setting) {
    $value = Get-Setting $setting
    if ($value -ceq '') { return }
    $number = 0
    $names = New-Object 'System.Collections.Generic.HashSet[string]'
    foreach ($item in $value.Split(',')) {
        $number++
        $pair = Split-Pair $item
        $isRight = ($null -ne $pair) -and (($pair.Name -ceq '*') -or (Test-Name $pair.Name)) -and (Test-Limit $pair.Value) -and $names.Add($pair.Name)
        if (-not $isRight) {
            mistake "${setting}: item $number is not like team-a=50000tpm:300rpm:20concurrent (or *=100rpm), with numbers above 0 and every name once: azd env set $setting `"team-a=50000tpm:300rpm,*=100rpm`""
        }
    }
}

# BALANCER_SETTINGS

# Not here: what the template sets itself, what has a setting of its own, and what is about who may call.
$balancer_settings = 'CONNECT_TIMEOUT_SECONDS HTTP_TIMEOUT_SECONDS STREAM_IDLE_TIMEOUT_SECONDS SSE_KEEPALIVE_SECONDS FIRST_TOKEN_TIMEOUT_SECONDS MAX_HOLD_SECONDS PRIORITY_WAIT_MS SPILL_LONG_PROMPTS AFFINITY STREAM_USAGE MAX_BODY_BYTES MAX_BUFFERED_BYTES MAX_CONCURRENT_REQUESTS TRACE_SAMPLE_PERCENT LOG_FORMAT'

# The setting of this template that a setting of the balancer comes from; empty when there is none.
function Find-OwnSetting($name) {
    if (Test-OneOf $name 'CLIENT_API_KEYS CLIENT_LIMITS OPERATOR_KEYS ENTRA_TENANT_ID ENTRA_ALLOWED_CLIENTS ENTRA_ALLOWED_OPERATORS') { return $name }
    if ($name -cmatch '\ABACKEND_.*_(URL|PRIORITY|WEIGHT|DEPLOYMENTS|DEPLOYMENT_NAME)\z') { return 'OPENAI_BACKENDS' }
    if ($name -ceq 'DEPLOYMENT_ALIASES') { return 'CHAT_MODEL_NAME' }
    return ''
}

# What the value of such a setting must be; empty when it is so. Bounds are the balancer's to check.
function Find-Form($name, $value) {
    if ($name -cmatch '_SECONDS\z') {
        if ($value -cmatch '\A[0-9]{1,6}([.][0-9]{1,3})?\z') { return '' }
        return 'a number of seconds such as 30 or 0.5'
    }
    if ($name -cmatch '_(MS|BYTES|REQUESTS|CAPACITY)\z') {
        if ($value -cmatch '\A[0-9]{1,15}\z') { return '' }
        return 'a whole number, of digits only'
    }
    if ($name -cmatch '_PERCENT\z') {
        if ($value -cmatch '\A[0-9]{1,3}([.][0-9]{1,3})?\z') { return '' }
        return 'a number of percent such as 10 or 0.5'
    }
    $choices = 'true false'
    if ($name -ceq 'AFFINITY') { $choices = 'off prefix user' }
    if ($name -ceq 'STREAM_USAGE') { $choices = 'add off' }
    if ($name -ceq 'LOG_FORMAT') { $choices = 'text json' }
    if (Test-OneOf $value $choices) { return '' }
    return "one of $choices, written exactly so"
}

# No value is shown, and no name that is none: it may be a key that was meant for another setting.
function Test-BalancerSettings($setting) {
    $count = $size.Resources
    $number = 0
    $names = New-Object 'System.Collections.Generic.HashSet[string]'
    foreach ($item in (Get-Setting $setting).Split(' ')) {
        if ($item -ceq '') { continue }
        $number++
        $pair = Split-Pair $item
        if (($null -eq $pair) -or ($pair.Value -ceq '') -or ($pair.Name -cnotmatch '\A[A-Z][A-Z0-9_]*\z')) {
            mistake "${setting}: item $number is not NAME=value, with the name in capitals: azd env set $setting `"AFFINITY=prefix MAX_HOLD_SECONDS=5`""
            continue
        }
        $name = $pair.Name
        if (-not $names.Add($name)) {
            mistake "$setting has $name twice: give it once with azd env set $setting `"AFFINITY=prefix MAX_HOLD_SECONDS=5`""
        }
        $own = Find-OwnSetting $name
        $isKnown = $true
        if ($name -cmatch '\ABACKEND_(.*)_CAPACITY\z') {
            if (($count -gt 0) -and -not (Test-Whole $Matches[1] $count)) {
                mistake "${setting}: there is no resource for $name, but 1 to ${count}: azd env set $setting `"BACKEND_1_CAPACITY=300`""
            }
        }
        elseif (-not (Test-OneOf $name $balancer_settings)) { $isKnown = $false }
        $form = Find-Form $name $pair.Value
        if ($own -cne '') {
            mistake "$setting cannot set $name, which comes from a setting of its own: azd env set $own"
        }
        elseif (-not $isKnown) {
            mistake "$setting cannot set $name; it can set $balancer_settings and BACKEND_n_CAPACITY: azd env set $setting `"AFFINITY=prefix MAX_HOLD_SECONDS=5`""
        }
        elseif ($form -cne '') {
            mistake "${setting}: the value of $name is not right, but must be ${form}: azd env set $setting `"AFFINITY=prefix MAX_HOLD_SECONDS=5`""
        }
    }
}

# OPENAI_BACKENDS

$skus = 'GlobalStandard DataZoneStandard Standard ProvisionedManaged GlobalProvisionedManaged DataZoneProvisionedManaged'

# Is this the next thing in the text? Then it is taken.
function Test-Next($reader, $form) {
    $reader.Text = $reader.Text.TrimStart(" `t`r`n".ToCharArray())
    $found = [regex]::Match($reader.Text, "\A(?:$form)")
    if (-not $found.Success) { return $false }
    $reader.Token = $found.Value
    $reader.Text = $reader.Text.Substring($found.Length)
    if ($found.Value -cmatch '[\x01-\x1f]') { $reader.IsBad = $true }
    return $true
}

function Read-Next($reader, $form) {
    if (-not $reader.IsBad -and -not (Test-Next $reader $form)) { $reader.IsBad = $true }
}

function Read-Value($reader, $key) {
    $kind = 'other'
    if (Test-Next $reader '"[^"\\]*"') {
        $kind = 'text'
        $reader.Token = $reader.Token.Substring(1, $reader.Token.Length - 2)
    }
    elseif (Test-Next $reader '-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?') { $kind = 'number' }
    elseif (-not (Test-Next $reader '(true|false|null)')) { $reader.IsBad = $true }
    $reader.Facts.Add(@{ Item = $reader.Item; Key = $key; Kind = $kind; Value = $reader.Token })
}

function Read-Pair($reader) {
    Read-Next $reader '"[^"\\]*"'
    if ($reader.IsBad) { return }
    $key = $reader.Token.Substring(1, $reader.Token.Length - 2)
    Read-Next $reader ':'
    if (-not $reader.IsBad) { Read-Value $reader $key }
}

# The values of OPENAI_BACKENDS as .Facts, with one of kind `end` at the end of each item; .IsBad when it is not a JSON list of flat objects.
# Read as strictly as azd does (ConvertFrom-Json takes more). Text with a backslash is refused too: no value here needs one.
function Read-Backends {
    $facts = New-Object 'System.Collections.Generic.List[object]'
    $reader = @{ Text = (Get-Setting 'OPENAI_BACKENDS'); Token = ''; IsBad = $false; Item = 0; Facts = $facts }
    Read-Next $reader '\['
    if (-not $reader.IsBad -and -not (Test-Next $reader '\]')) {
        do {
            $reader.Item++
            Read-Next $reader '[{]'
            if (-not $reader.IsBad -and -not (Test-Next $reader '[}]')) {
                do { Read-Pair $reader } while (-not $reader.IsBad -and (Test-Next $reader ','))
                Read-Next $reader '[}]'
            }
            $facts.Add(@{ Item = $reader.Item; Key = ''; Kind = 'end'; Value = '' })
        } while (-not $reader.IsBad -and (Test-Next $reader ','))
        Read-Next $reader '\]'
    }
    if ($reader.Text.Trim(" `t`r`n".ToCharArray()) -cne '') { $reader.IsBad = $true }
    return $reader
}

# One value of an item.
function Test-Value($where, $entry, $fact) {
    $key = $fact.Key
    if ($entry.Given -ccontains $key) { mistake "$where has $key twice" }
    $entry.Given += $key
    if (@('location', 'url', 'sku', 'deployments') -ccontains $key) {
        if ($fact.Kind -cne 'text') { mistake "${where}: $key must be a text in quotes" }
    }
    elseif (@('priority', 'weight') -ccontains $key) {
        if (($fact.Kind -cne 'number') -or -not (Test-Whole $fact.Value 100)) { mistake "${where}: $key must be a whole number from 1 to 100, without quotes" }
    }
    elseif ($key -ceq 'capacity') {
        if (($fact.Kind -cne 'number') -or -not (Test-Whole $fact.Value 999999999)) { mistake "${where}: $key must be a whole number of at least 1, without quotes" }
    }
    else {
        mistake "${where}: '$key' is not one of location, url, priority, weight, capacity, sku, deployments, written exactly so"
        return
    }
    $entry[$key] = $fact.Value
}

# What the values of an item mean together.
function Test-Entry($where, $entry) {
    $given = $entry.Given
    if (($given -ccontains 'location') -and ($given -ccontains 'url')) {
        mistake "$where has both location and url: a resource is either created (location) or brought along (url)"
    }
    elseif (-not ($given -ccontains 'location') -and -not ($given -ccontains 'url')) {
        mistake "$where has neither location nor url: a resource is either created (location) or brought along (url)"
    }
    if ($given -ccontains 'location') {
        if (-not (Test-Region $entry['location'])) { mistake "${where}: location must be a region such as eastus2" }
    }
    elseif (($given -ccontains 'capacity') -or ($given -ccontains 'sku')) {
        mistake "${where}: capacity and sku belong beside location, for a resource that is created"
    }
    if ($given -ccontains 'url') {
        if (-not (Test-Origin $entry['url'])) { mistake "${where}: url must be https and a host without a path, such as https://my-openai.openai.azure.com" }
    }
    elseif ($given -ccontains 'deployments') {
        mistake "${where}: deployments belong beside url, for a resource that is brought along"
    }
    if (($given -ccontains 'sku') -and -not (Test-OneOf $entry['sku'] $skus)) {
        mistake "${where}: sku must be one of $skus, written exactly so"
    }
    if ($given -ccontains 'deployments') {
        if (-not (Test-Mapping $entry['deployments'])) { mistake "${where}: deployments must be like chat=gpt-eu,embedding=emb-eu, every name once" }
        $load_balancer = Get-Setting 'LOAD_BALANCER' 'aca'
        if ($load_balancer -cne 'aca') {
            mistake "${where}: deployments are for the container app only, not for LOAD_BALANCER ${load_balancer}: name the deployments of that resource as those of the others"
        }
    }
}

function Test-Backends {
    $before = $mistakes.Count
    $value = Get-Setting 'OPENAI_BACKENDS'
    $reader = Read-Backends
    if (-not $value.Contains('"') -and $value.Contains('{')) {
        mistake "OPENAI_BACKENDS has lost its quotes on the way through the shell (older PowerShells take them away): put a backslash before each, or use OPENAI_LOCATIONS where regions are enough: azd env set OPENAI_LOCATIONS `"eastus2,swedencentral,westus3`""
    }
    elseif ($reader.IsBad) {
        mistake "OPENAI_BACKENDS is not a JSON list of flat objects"
    }
    else {
        $entry = @{ Given = @() }
        foreach ($fact in $reader.Facts) {
            $where = "OPENAI_BACKENDS: item $($fact.Item)"
            if ($fact.Kind -cne 'end') {
                Test-Value $where $entry $fact
                continue
            }
            Test-Entry $where $entry
            if ($entry['location']) { Add-Resource $fact.Item $entry['location'] $entry['capacity'] $entry['sku'] }
            $entry = @{ Given = @() }
        }
        $count = $reader.Item
        $size.Resources = $count
        if (-not (Test-Whole "$count" 20)) { mistake "OPENAI_BACKENDS has $count items, but must have 1 to 20" }
    }
    if ((Get-Setting 'OPENAI_LOCATIONS') -cne '') {
        mistake "OPENAI_LOCATIONS and OPENAI_BACKENDS are both set: keep one and empty the other: azd env set OPENAI_LOCATIONS= (or OPENAI_BACKENDS=)"
    }
    if ($mistakes.Count -ne $before) {
        mistake "OPENAI_BACKENDS should be like this: azd env set OPENAI_BACKENDS '[{`"location`":`"eastus2`"},{`"url`":`"https://my-openai.openai.azure.com`",`"priority`":2}]'"
    }
}

# How many resources there are, of both kinds; 0 when that cannot be read.
$size = @{ Resources = 0 }

# The resources that will be created: number, region, capacity and SKU of the chat deployment (empty for the settings').
$resources = New-Object 'System.Collections.Generic.List[object]'

function Add-Resource($number, $location, $capacity, $sku) {
    $region = $location.Replace(' ', '').ToLowerInvariant()
    $resources.Add(@{ Number = "$number"; Region = $region; Capacity = $capacity; Sku = $sku })
}

function Test-Locations($list) {
    $number = 0
    foreach ($item in $list.Split(',')) {
        $number++
        if (Test-Region $item) { Add-Resource $number $item '' '' }
        else { mistake "OPENAI_LOCATIONS: item $number is not a region: azd env set OPENAI_LOCATIONS `"eastus2,swedencentral,westus3`"" }
    }
    $size.Resources = $number
    if ($number -gt 20) { mistake "OPENAI_LOCATIONS has $number regions, but must have at most 20: azd env set OPENAI_LOCATIONS `"eastus2,swedencentral,westus3`"" }
}

$keys = New-Object 'System.Collections.Generic.HashSet[string]'

# False, and every mistake is told, when there is one.
$settings = 'LOAD_BALANCER OPENAI_CAPACITY EMBEDDING_CAPACITY OPENAI_LOCATIONS OPENAI_BACKENDS CHAT_MODEL_NAME CHAT_MODEL_VERSION CHAT_MODEL_SKU EMBEDDING_MODEL_NAME EMBEDDING_MODEL_VERSION EMBEDDING_MODEL_SKU CLIENT_API_KEYS CLIENT_LIMITS BALANCER_SETTINGS OPERATOR_KEYS ENTRA_TENANT_ID ENTRA_ALLOWED_CLIENTS ENTRA_ALLOWED_OPERATORS MIN_REPLICAS MAX_REPLICAS ALERT_EMAIL APIM_SKU APIM_PUBLISHER_EMAIL'

# A name with a typing error sets nothing, and what it was meant to set may be who may call. Only names that look like ours are looked at: others may
# be of other programs. What azd prints for a value is not looked at but for being empty.
function Test-Names {
    $answer = Invoke-Program 'azd' @('env', 'get-values', '--no-prompt')
    if (-not $answer.IsRight) { return }
    foreach ($line in $answer.Lines) {
        if ($line -cnotmatch '\A([A-Za-z][A-Za-z0-9_]*)=.*[^"]') { continue }
        $name = $Matches[1]
        if (Test-OneOf $name $balancer_settings) {
            mistake "$name would change nothing here. Put it into BALANCER_SETTINGS and empty it: azd env set $name="
            continue
        }
        if ($name -ceq 'APIM_GATEWAY_URL') { continue }
        if ($name.ToUpperInvariant() -cnotmatch '\A(ALERT|APIM_|BACKEND_|BALANC|CHAT_MODEL|CLIENT_|EMBEDDING_|ENTRA_|LOAD_BAL|MAX_REP|MIN_REP|OPENAI_BACK|OPENAI_CAP|OPENAI_LOC|OPENAI_REG|OPERATOR)') { continue }
        if (-not (Test-OneOf $name $settings)) {
            mistake "$name is not a setting of this template, so it would change nothing; there are $settings. Empty it: azd env set $name="
        }
    }
}

function Test-Settings {
    # Step: check the names
    Test-Names

    # Step: check the front
    Test-ChoiceSetting 'LOAD_BALANCER' 'aca apim both' 'aca'
    Test-ChoiceSetting 'APIM_SKU' 'BasicV2 StandardV2 Developer Basic Standard Premium' 'BasicV2'
    Test-Address 'ALERT_EMAIL' 'team@example.com'
    Test-Address 'APIM_PUBLISHER_EMAIL' 'noreply@example.com'

    # Step: check the numbers
    Test-WholeSetting 'OPENAI_CAPACITY' 999999999 50
    Test-WholeSetting 'EMBEDDING_CAPACITY' 999999999 50
    Test-WholeSetting 'MIN_REPLICAS' 1000 1
    Test-WholeSetting 'MAX_REPLICAS' 1000 10
    $least = Get-Setting 'MIN_REPLICAS' '1'
    $most = Get-Setting 'MAX_REPLICAS' '10'
    if ((Test-Whole $least 1000) -and (Test-Whole $most 1000) -and ([int]$least -gt [int]$most)) {
        mistake "MIN_REPLICAS is $least and MAX_REPLICAS $most, which is less: azd env set MAX_REPLICAS $least"
    }

    # Step: check the models
    Test-NameSetting 'CHAT_MODEL_NAME' 'gpt-5.4-mini'
    Test-NameSetting 'CHAT_MODEL_VERSION' '2026-03-17'
    Test-ChoiceSetting 'CHAT_MODEL_SKU' $skus 'GlobalStandard'
    Test-NameSetting 'EMBEDDING_MODEL_NAME' 'text-embedding-3-large'
    Test-NameSetting 'EMBEDDING_MODEL_VERSION' '1'
    Test-ChoiceSetting 'EMBEDDING_MODEL_SKU' $skus 'GlobalStandard'

    # Step: check the resources
    if ((Get-Setting 'OPENAI_BACKENDS') -cne '') { Test-Backends }
    else { Test-Locations (Get-Setting 'OPENAI_LOCATIONS' 'eastus2,swedencentral,westus3') }

    # Step: check who may call
    Test-Keys 'CLIENT_API_KEYS'
    Test-Keys 'OPERATOR_KEYS'
    Test-Limits 'CLIENT_LIMITS'
    Test-Tenants 'ENTRA_TENANT_ID'
    Test-Ids 'ENTRA_ALLOWED_CLIENTS'
    Test-Ids 'ENTRA_ALLOWED_OPERATORS'

    # Step: check what else the balancer is told
    Test-BalancerSettings 'BALANCER_SETTINGS'

    # Step: name every mistake
    if ($mistakes.Count -gt 0) {
        complain "The settings of this azd environment have mistakes. Nothing was changed in Azure."
        foreach ($text in $mistakes) { complain $text }
        complain "Set them right as told, then run the command again."
        return $false
    }
    return $true
}

# azd deploys the container app only when DEPLOY_CONTAINER_APP says so (`condition:` in azure.yaml). Unset means true.
function Set-DeployContainerApp {
    # Step: say whether there is a container app to deploy to
    $wanted = 'true'
    if ((Get-Setting 'LOAD_BALANCER') -ceq 'apim') { $wanted = 'false' }
    if ((Get-Setting 'DEPLOY_CONTAINER_APP' 'true') -cne $wanted) { Set-AzdValue 'DEPLOY_CONTAINER_APP' $wanted }
}
