<#
.SYNOPSIS
    Points Claude tools at ModelMuxer in this session only. Dot-source it.

.DESCRIPTION
    Sets ANTHROPIC_BASE_URL, ANTHROPIC_API_URL, ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN, and
    defines Disable-ClaudeModelMuxer, which puts back what the four names held before.

.PARAMETER BaseUrl
    Address of ModelMuxer, without /v1.

.PARAMETER ApiKey
    A key of API_KEYS, [keys.NAME] or `modelmuxer keys create`.

.EXAMPLE
    . .\scripts\activate_claude_modelmuxer.ps1

.EXAMPLE
    . .\scripts\activate_claude_modelmuxer.ps1 -ApiKey sk-mm-abc
    claude
    Disable-ClaudeModelMuxer
#>
[CmdletBinding()]
param(
    [string]$BaseUrl = 'http://localhost:8000',
    [string]$ApiKey = 'sk-test-claude-dev'
)

if ($MyInvocation.InvocationName -ne '.') {
    Write-Warning 'Dot-source this script, or nothing stays set: . .\scripts\activate_claude_modelmuxer.ps1'
}

$BaseUrl = $BaseUrl.TrimEnd('/') -replace '/v1$', ''
if (-not (Test-Path Variable:Global:ModelMuxerBefore)) {
    $Global:ModelMuxerBefore = @{}
    foreach ($name in 'ANTHROPIC_BASE_URL', 'ANTHROPIC_API_URL', 'ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN') {
        $Global:ModelMuxerBefore[$name] = [Environment]::GetEnvironmentVariable($name)
    }
}

$env:ANTHROPIC_BASE_URL = $BaseUrl
$env:ANTHROPIC_API_URL = $BaseUrl
$env:ANTHROPIC_API_KEY = $ApiKey
$env:ANTHROPIC_AUTH_TOKEN = $ApiKey

function Global:Disable-ClaudeModelMuxer {
    <#
    .SYNOPSIS
        Puts the four names back as they were before activation.
    #>
    foreach ($name in $Global:ModelMuxerBefore.Keys) {
        $value = $Global:ModelMuxerBefore[$name]
        if ($null -eq $value) { Remove-Item "Env:$name" -ErrorAction SilentlyContinue }
        else { Set-Item "Env:$name" $value }
    }
    Remove-Variable -Scope Global -Name ModelMuxerBefore
    Remove-Item Function:Disable-ClaudeModelMuxer
    Write-Host 'Claude tools of this session use what they used before.'
}

# Dot-sourced, our own variables would stay in the session.
Remove-Variable -Name 'BaseUrl', 'ApiKey', 'name' -ErrorAction SilentlyContinue
Write-Host "Claude tools of this session use $env:ANTHROPIC_BASE_URL." -ForegroundColor Green
Write-Host 'Undo: Disable-ClaudeModelMuxer'
