#!/bin/sh
# Before `azd up` does anything: are the settings right? azd decides which services there are before preprovision runs, so what that depends on
# is set here too. preup.ps1 is the same for Windows.
set -eu
# shellcheck source=scripts/settings.sh
. "$(dirname "$0")/settings.sh"

check_settings || exit 1
set_deploy_container_app
