#!/usr/bin/env python3
"""django-helpdesk as a yardstick: its own get_email over a folder of mails, in one process, start-up not counted.

  django_helpdesk.py FOLDER [--count 300] [--tickets 0] [--home DIR]

FOLDER: written by gen_mail.py with  --tag dh --eight-bit utf8  (a raw latin-1 mail stops its whole queue; that is why).
Makes its own environment (django-helpdesk from PyPI) and SQLite project under --home, kept for the next call.
--tickets K seeds K tickets first. Acknowledgements go to Django's dummy backend. Prints one JSON line: n, seconds,
cpu_seconds, rate, ms_per_mail, tickets_before, tickets, peak_rss_mb, left (mails not taken).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HOME = Path(tempfile.gettempdir()) / "yardstick-django-helpdesk"
VERSION = "2.6.1"

_SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "bench"
DEBUG = False
ALLOWED_HOSTS = ["*"]
SITE_ID = 1
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.sites", "django.contrib.humanize", "django.contrib.staticfiles",
    "rest_framework", "helpdesk",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "bench_urls"
LOGIN_URL = "/login/"
STATIC_URL = "/static/"
MEDIA_URL = "/media/"
MEDIA_ROOT = str(BASE_DIR / "media")
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / "db.sqlite3")}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
HELPDESK_TEAMS_MODE_ENABLED = False
HELPDESK_ACTIVATE_API_ENDPOINT = False
HELPDESK_VALID_EXTENSIONS = [".pdf", ".txt", ".html", ".eml"]
"""

_URLS = """
from django.urls import include, path
urlpatterns = [path("", include("helpdesk.urls", namespace="helpdesk"))]
"""

_PREPARE = """
import sys
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("loaddata", "emailtemplate.json", verbosity=0)
from helpdesk.models import Queue
Queue.objects.get_or_create(slug="support", defaults=dict(
    title="Support", email_address="support@help.example", allow_email_submission=True, email_box_type="local",
    email_box_local_dir=sys.argv[1], email_box_interval=0, logging_type="none", new_ticket_cc="",
    updated_ticket_cc="", enable_notifications_on_email_events=True,
))
"""

_SEED = """
import sys
import django
django.setup()
from django.utils import timezone
from helpdesk.models import FollowUp, Queue, Ticket
want, queue, now = int(sys.argv[1]), Queue.objects.get(slug="support"), timezone.now()
body = "Lorem ipsum dolor sit amet " * 50
while (have := Ticket.objects.count()) < want:
    n = min(1000, want - have)
    Ticket.objects.bulk_create([
        Ticket(title=f"Seed {have + i}", queue=queue, submitter_email=f"user{i % 5}@cust{i % 200:03d}.example",
               created=now, description=body, priority=3)
        for i in range(n)
    ])
    ids = list(Ticket.objects.order_by("-id").values_list("id", flat=True)[:n])
    FollowUp.objects.bulk_create([
        FollowUp(ticket_id=i, title="E-Mail Received", date=now, public=True, comment=body,
                 message_id=f"<seed.{i}@seed.example>")
        for i in ids
    ])
"""

_RUN = """
import json
import os
import resource
import time
import django
django.setup()
from helpdesk import email as mail
from helpdesk.models import Ticket
listing = os.listdir
mail.os.listdir = lambda path: sorted(listing(path))  # in the order of arrival
before, began, used = Ticket.objects.count(), time.perf_counter(), time.process_time()
mail.process_email(debug_to_stdout=False)
print("RESULT", json.dumps(dict(
    seconds=time.perf_counter() - began, cpu_seconds=time.process_time() - used, tickets_before=before,
    tickets=Ticket.objects.count() - before,
    peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
)))
"""


def prepare(home: Path = HOME) -> None:
    """Its environment, unless it is there."""
    python = home / "venv/bin/python"
    home.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
        install = [str(python), "-m", "pip", "-q", "install", f"django-helpdesk=={VERSION}", "setuptools"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (home / "bench_settings.py").write_text(_SETTINGS)
    (home / "bench_urls.py").write_text(_URLS)


def measure(folder: Path, count: int | None = None, tickets: int = 0, home: Path = HOME) -> dict[str, Any]:
    """Take the first `count` mails of `folder` into a fresh desk that has `tickets` tickets."""
    prepare(home)
    inbox = home / "inbox"
    (home / "db.sqlite3").unlink(missing_ok=True)
    shutil.rmtree(home / "media", ignore_errors=True)
    _call(home, _PREPARE, inbox)
    if tickets:
        _call(home, _SEED, tickets)
    shutil.rmtree(inbox, ignore_errors=True)
    inbox.mkdir()
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()][:count]
    for row in rows:
        shutil.copy(folder / row["file"], inbox)
    told = next(line for line in _call(home, _RUN).splitlines() if line.startswith("RESULT"))
    found = json.loads(told.removeprefix("RESULT"))
    rate = {"rate": len(rows) / found["seconds"], "ms_per_mail": 1000 * found["seconds"] / len(rows)}
    return {"n": len(rows), **found, **rate, "left": len(list(inbox.iterdir()))}


def _call(home: Path, code: str, *words: object) -> str:
    env = dict(os.environ, DJANGO_SETTINGS_MODULE="bench_settings", PYTHONPATH=str(home))
    command = [str(home / "venv/bin/python"), "-c", code, *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=home)
    if done.returncode:
        sys.exit(done.stderr[-1500:])
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--tickets", type=int, default=0)
    parser.add_argument("--home", type=Path, default=HOME)
    wanted = parser.parse_args()
    found = measure(wanted.folder, wanted.count, wanted.tickets, wanted.home)
    print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()}))


if __name__ == "__main__":
    main()
