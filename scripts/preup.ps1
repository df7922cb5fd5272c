# Before `azd up` does anything: are the settings right? azd decides which services there are before preprovision runs, so what that depends on
# is set here too. preup.sh is the same for other systems.
$ErrorActionPreference = 'Stop'
. "$PSScriptRoot/settings.ps1"

if (-not (Test-Settings)) { exit 1 }
Set-DeployContainerApp
exit 0
