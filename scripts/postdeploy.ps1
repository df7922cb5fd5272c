# After deploying: does each front really answer? Waits for the container app, then asks for one completion as the person who deployed.
# Role assignments take up to ten minutes to act, so refusals are tried again for as long. postdeploy.sh is the same for other systems.
# HttpClient is used, not Invoke-WebRequest, which throws away what a refusal says, differently in each PowerShell.
$ErrorActionPreference = 'Stop'
. "$PSScriptRoot/settings.ps1"

Add-Type -AssemblyName System.Net.Http
# Windows PowerShell 5.1 would use an older TLS.
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12

$front = Get-Setting 'LOAD_BALANCER' 'aca'
$model = Get-Setting 'AZURE_OPENAI_CHAT_DEPLOYMENT' (Get-Setting 'CHAT_MODEL_NAME' 'gpt-5.4-mini')

# The answer's Status, Headers (names in lower case) and Body. The status is 000 when there is none.
function Send-Request($method, $url, $seconds, $token, $body) {
    $answer = @{ Status = '000'; Headers = @{}; Body = '' }
    $handler = New-Object System.Net.Http.HttpClientHandler
    $handler.AllowAutoRedirect = $false
    $client = New-Object System.Net.Http.HttpClient -ArgumentList $handler
    try {
        $client.Timeout = [TimeSpan]::FromSeconds($seconds)
        $request = New-Object System.Net.Http.HttpRequestMessage -ArgumentList (New-Object System.Net.Http.HttpMethod -ArgumentList $method), $url
        if ($token) { $request.Headers.Authorization = New-Object System.Net.Http.Headers.AuthenticationHeaderValue -ArgumentList 'Bearer', $token }
        if ($body) { $request.Content = New-Object System.Net.Http.StringContent -ArgumentList $body, ([Text.Encoding]::UTF8), 'application/json' }
        $response = $client.SendAsync($request).GetAwaiter().GetResult()
        $answer.Body = $response.Content.ReadAsStringAsync().GetAwaiter().GetResult()
        foreach ($header in $response.Headers) { $answer.Headers[$header.Key.ToLowerInvariant()] = ($header.Value -join ', ') }
        $answer.Status = '{0:000}' -f [int]$response.StatusCode
    }
    catch {
        $answer.Status = '000'
    }
    finally {
        $client.Dispose()
    }
    return $answer
}

# $null when azd gives no token. Every try has a fresh one.
function Get-Completion($url) {
    $given = Invoke-Program 'azd' @('auth', 'token', '--scope', 'https://cognitiveservices.azure.com/.default', '--output', 'json', '--no-prompt')
    if (-not $given.IsRight -or (($given.Lines -join ' ') -cnotmatch '"token": *"([^"]*)"')) { return $null }
    $body = "{`"model`":`"$model`",`"messages`":[{`"role`":`"user`",`"content`":`"Say hello.`"}],`"max_completion_tokens`":500}"
    return Send-Request 'POST' "$url/v1/chat/completions" 60 $Matches[1] $body
}

# The first such text in the answer's body.
function Get-Field($answer, $name) {
    if ($answer.Body -cmatch "`"$name`": *`"([^`"]*)`"") { return $Matches[1] }
    return ''
}

# Explains the last answer, when the waiting is over.
function Write-Explanation($answer) {
    $code = Get-Field $answer 'code'
    $message = Get-Field $answer 'message'
    switch -Regex -CaseSensitive ("$($answer.Status) $code") {
        '\A(502 backend_auth_failed|503 backend_auth_pending)\z' { complain "The resources refuse the identity of the load balancer: its role does not act yet. Wait some minutes, then run azd deploy; if it goes on, look whether the role Cognitive Services OpenAI User is assigned on each resource."; break }
        '\A401' { complain "The token of azd was refused. It must be of a tenant in ENTRA_TENANT_ID and for https://cognitiveservices.azure.com."; break }
        '\A403' { complain "The call was forbidden: a network rule, or the identity lacks its role on the resources."; break }
        '\A404' { complain "There is no deployment $model, or the placeholder image still answers. Look at the deployments in the portal, and whether azd deploy put the new image in place."; break }
        '\A429' { complain "Every resource was throttled all the time. Give them more quota: azd env set OPENAI_CAPACITY 50, then azd up."; break }
        '\A000' { complain "There was no connection. Look at the log stream, and whether this machine may reach that URL."; break }
        '\A5' { complain "The load balancer or the resources behind it fail. Look at the log stream: the line of the request says why."; break }
        default { complain "Trying again does not help against that answer." }
    }
    if ("$code$message" -cne '') { complain "The answer said ${code}: $message" }
}

function Get-SecondsSince($moment) {
    return [int][math]::Floor(((Get-Date) - $moment).TotalSeconds)
}

# Gives it ten seconds more, and says so once a minute: Told is when it was said last.
$waiting = @{ Told = [DateTime]::MinValue }

function wait_more($text) {
    if (((Get-Date) - $waiting.Told).TotalSeconds -ge 60) {
        $waiting.Told = Get-Date
        say $text
    }
    Start-Sleep -Seconds 10
}

function Wait-Health($url) {
    # Step: wait for the container app
    $began = Get-Date
    $waiting.Told = $began
    while ($true) {
        $status = (Send-Request 'GET' "$url/healthz" 10 '' '').Status
        if ($status -ceq '200') { break }
        $waited = Get-SecondsSince $began
        if ($waited -ge 300) {
            complain "$url/healthz does not answer 200 after $waited s, but $status. Look at the log stream: a wrong setting keeps the container from starting, and its log names it."
            exit 1
        }
        wait_more "Waiting for $url/healthz ($status, $waited s)"
    }
    say "$url/healthz answers."
}

function Test-Completion($url) {
    # Step: ask for a completion
    $began = Get-Date
    $waiting.Told = [DateTime]::MinValue
    while ($true) {
        $answer = Get-Completion $url
        if ($null -eq $answer) {
            say "azd gave no token (azd auth login; with auth.useAzCliAuth, az login): the completion was not tried."
            return
        }
        $status = $answer.Status
        $code = Get-Field $answer 'code'
        $waited = Get-SecondsSince $began
        if ($status -cmatch '\A200') {
            $backend = $answer.Headers['x-balancer-backend']
            $trace = $answer.Headers['x-balancer-trace']
            if (-not $trace) { $trace = 'not told' }
            say "$url answered a completion of $model. It came from $backend (attempts: $trace)"
            return
        }
        if ($code -ceq 'client_not_allowed') {
            $clients = Get-Setting 'ENTRA_ALLOWED_CLIENTS'
            $principal = Get-Setting 'AZURE_PRINCIPAL_ID' 'YOUR-OBJECT-ID'
            say "$url works, but you are not in ENTRA_ALLOWED_CLIENTS: the completion was not tried. To add yourself: azd env set ENTRA_ALLOWED_CLIENTS `"$clients,me=$principal`", then azd up."
            return
        }
        if ($status -cnotmatch '\A(401|403|404|405|429|5..|000)\z') { $waited = 600 }
        if ($waited -ge 600) {
            complain "$url answered no completion. The last status was $status."
            Write-Explanation $answer
            exit 1
        }
        wait_more "Waiting for $url to answer a completion ($status $code, $waited s): roles take up to ten minutes to act"
    }
}

$container_url = Get-Setting 'CONTAINER_APP_URL'
$gateway_url = Get-Setting 'APIM_GATEWAY_URL'
if (($front -cne 'apim') -and ($container_url -cne '')) {
    Wait-Health $container_url
    Test-Completion $container_url
}
if (($front -cne 'aca') -and ($gateway_url -cne '')) { Test-Completion $gateway_url }
exit 0
