<#
.SYNOPSIS
    Points Claude Code and other Claude tools at ModelMuxer, for you or for this session.

.DESCRIPTION
    Sets the four names that Claude tools read: ANTHROPIC_BASE_URL and ANTHROPIC_API_URL (the
    address, without /v1), ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN (your key).

    With -UserProfile they are kept for every new session: on Windows in your user environment,
    elsewhere between two marker lines of your PowerShell profile. Without it only the session
    that runs this script has them. -Remove takes them out again.

    `modelmuxer connect claude` does the same by Claude Code's own settings file and puts back
    what was there before.

.PARAMETER UserProfile
    Keep the settings for every new session of the current user.

.PARAMETER BaseUrl
    Address of ModelMuxer. A trailing slash or /v1 is dropped, since tools append the path.

.PARAMETER ApiKey
    A key of API_KEYS, [keys.NAME] or `modelmuxer keys create`.

.PARAMETER Remove
    Remove the names, from the session and with -UserProfile from the profile too.

.EXAMPLE
    .\scripts\configure_claude_cli.ps1 -UserProfile

.EXAMPLE
    .\scripts\configure_claude_cli.ps1 -BaseUrl http://mux.example.com:8000 -ApiKey sk-mm-abc

.EXAMPLE
    .\scripts\configure_claude_cli.ps1 -UserProfile -Remove
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [switch]$UserProfile,
    [string]$BaseUrl = 'http://localhost:8000',
    [string]$ApiKey = 'sk-test-claude-dev',
    [switch]$Remove
)

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'

$Begin = '# >>> modelmuxer >>>'
$End = '# <<< modelmuxer <<<'
$Names = 'ANTHROPIC_BASE_URL', 'ANTHROPIC_API_URL', 'ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN'
$OnWindows = $PSVersionTable.PSVersion.Major -lt 6 -or $IsWindows

function Get-Setting {
    $address = $BaseUrl.TrimEnd('/') -replace '/v1$', ''
    if ($address -notmatch '^https?://') {
        throw "BaseUrl: '$BaseUrl' is no address such as http://localhost:8000"
    }
    $settings = [ordered]@{}
    foreach ($name in $Names) {
        $settings[$name] = if ($name -like '*_URL') { $address } else { $ApiKey }
    }
    return $settings
}

function Set-Session($settings) {
    foreach ($name in $Names) {
        if ($Remove) { Remove-Item "Env:$name" -ErrorAction SilentlyContinue }
        else { Set-Item "Env:$name" $settings[$name] }
    }
}

function Set-UserEnvironment($settings) {
    foreach ($name in $Names) {
        # $null would arrive as an empty text, which newer .NET keeps as a value.
        $value = if ($Remove) { [NullString]::Value } else { $settings[$name] }
        [Environment]::SetEnvironmentVariable($name, $value, 'User')
    }
}

function Set-ProfileBlock($settings) {
    $file = $PROFILE.CurrentUserAllHosts
    $text = if (Test-Path $file) { Get-Content $file -Raw } else { '' }
    $pattern = '(?ms)^' + [regex]::Escape($Begin) + '.*?' + [regex]::Escape($End) + '\r?\n?'
    $text = [regex]::Replace([string]$text, $pattern, '')
    if ($text -and -not $text.EndsWith("`n")) { $text += "`n" }
    if (-not $Remove) {
        $lines = foreach ($name in $Names) {
            "`$env:$name = '" + $settings[$name].Replace("'", "''") + "'"
        }
        $text += (@($Begin) + $lines + @($End)) -join "`n"
        $text += "`n"
    }
    New-Item -ItemType Directory -Force (Split-Path $file) | Out-Null
    Set-Content -Path $file -Value $text -NoNewline -Encoding utf8
}

$settings = Get-Setting
Set-Session $settings
if ($UserProfile -and $PSCmdlet.ShouldProcess('your user profile', 'change the ANTHROPIC_* names')) {
    if ($OnWindows) { Set-UserEnvironment $settings } else { Set-ProfileBlock $settings }
}

$where = if ($UserProfile) { 'this and every new session' } else { 'this session' }
if ($Remove) {
    Write-Host "ModelMuxer is removed from $where." -ForegroundColor Green
}
else {
    Write-Host "Claude tools of $where use $($settings['ANTHROPIC_BASE_URL'])." -ForegroundColor Green
    Write-Host 'Check it with scripts\test_claude_integration.ps1, then: claude'
}
