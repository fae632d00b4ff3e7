"""Django's command line for this project; the harness sets DJANGO_SETTINGS_MODULE, PYTHONPATH and BENCH_FOLDER."""

import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
