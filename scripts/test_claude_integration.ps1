<#
.SYNOPSIS
    Checks that ModelMuxer answers as Claude tools need it, and reports in colour.

.DESCRIPTION
    Asks for health, models, one answer, one streamed answer, count_tokens, the refusal of a wrong
    key, budgets and costs. The exit code is the number of checks that failed.
    `modelmuxer doctor` checks more and names a fix for each fault.

.PARAMETER BaseUrl
    Address of ModelMuxer; otherwise ANTHROPIC_BASE_URL, otherwise http://localhost:8000.

.PARAMETER ApiKey
    Your key; otherwise ANTHROPIC_AUTH_TOKEN or ANTHROPIC_API_KEY, otherwise the development key.

.PARAMETER Model
    Model to ask for.

.EXAMPLE
    .\scripts\test_claude_integration.ps1

.EXAMPLE
    .\scripts\test_claude_integration.ps1 -BaseUrl http://mux.example.com:8000 -ApiKey sk-mm-abc
#>
[CmdletBinding()]
param(
    [string]$BaseUrl = $env:ANTHROPIC_BASE_URL,
    [string]$ApiKey = $(if ($env:ANTHROPIC_AUTH_TOKEN) { $env:ANTHROPIC_AUTH_TOKEN } else { $env:ANTHROPIC_API_KEY }),
    [string]$Model = 'claude-3-5-sonnet-20241022'
)

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

if (-not $BaseUrl) { $BaseUrl = 'http://localhost:8000' }
if (-not $ApiKey) { $ApiKey = 'sk-test-claude-dev' }
$BaseUrl = $BaseUrl.TrimEnd('/') -replace '/v1$', ''
$Headers = @{ Authorization = "Bearer $ApiKey"; 'anthropic-version' = '2023-06-01' }
$Failed = 0

function Invoke-Mux([string]$Method, [string]$Path, $Body = $null, $With = $Headers) {
    $call = @{ Method = $Method; Uri = "$BaseUrl$Path"; Headers = $With; TimeoutSec = 60; UseBasicParsing = $true }
    if ($null -ne $Body) {
        $call.Body = $Body | ConvertTo-Json -Depth 8 -Compress
        $call.ContentType = 'application/json'
    }
    return Invoke-WebRequest @call
}

function Test-Step([string]$Name, [scriptblock]$Step) {
    try {
        $said = & $Step
        Write-Host '  ok    ' -ForegroundColor Green -NoNewline
        Write-Host ('{0,-14} {1}' -f $Name, $said)
    }
    catch {
        $script:Failed++
        Write-Host '  FAIL  ' -ForegroundColor Red -NoNewline
        Write-Host ('{0,-14} {1}' -f $Name, $_.Exception.Message)
    }
}

function New-Question([bool]$Stream = $false) {
    return @{
        model      = $Model
        max_tokens = 100
        stream     = $Stream
        messages   = @(@{ role = 'user'; content = 'What is the capital of France?' })
    }
}

Write-Host "ModelMuxer at $BaseUrl"
Test-Step 'health' { (Invoke-Mux GET '/health' -With @{}).Content | ConvertFrom-Json | ForEach-Object status }
Test-Step 'models' {
    $found = (Invoke-Mux GET '/v1/models').Content | ConvertFrom-Json
    "$(@($found.data).Count) models"
}
Test-Step 'answer' {
    $answer = Invoke-Mux POST '/v1/messages' (New-Question)
    $body = $answer.Content | ConvertFrom-Json
    "$($body.model): $($body.content[0].text)"
}
Test-Step 'stream' {
    $answer = Invoke-Mux POST '/v1/messages' (New-Question $true)
    $text = if ($answer.Content -is [byte[]]) { [Text.Encoding]::UTF8.GetString($answer.Content) } else { $answer.Content }
    if ($text -notmatch 'event: message_stop') { throw 'the stream did not end with message_stop' }
    "$([regex]::Matches($text, 'event: content_block_delta').Count) pieces"
}
Test-Step 'count_tokens' {
    $count = @{ model = $Model; messages = @(@{ role = 'user'; content = 'How long is this?' }) }
    $found = (Invoke-Mux POST '/v1/messages/count_tokens' $count).Content | ConvertFrom-Json
    "$($found.input_tokens) tokens"
}
Test-Step 'wrong key' {
    try {
        Invoke-Mux GET '/v1/models' -With @{ 'x-api-key' = 'not-a-key' } | Out-Null
    }
    catch {
        if ([int]$_.Exception.Response.StatusCode -eq 401) { return 'is refused with 401' }
        throw
    }
    throw 'a wrong key was accepted'
}
Test-Step 'budgets' {
    $found = (Invoke-Mux GET '/v1/analytics/budgets').Content | ConvertFrom-Json
    "$(@($found.budgets).Count) set"
}
Test-Step 'costs' {
    $found = (Invoke-Mux GET '/v1/analytics/costs?days=7').Content | ConvertFrom-Json
    "`$$($found.total_cost) in 7 days"
}

if ($Failed) {
    Write-Host "$Failed failed; modelmuxer doctor says why and what to do." -ForegroundColor Red
}
else {
    Write-Host 'All is well: run claude.' -ForegroundColor Green
}
exit $Failed
