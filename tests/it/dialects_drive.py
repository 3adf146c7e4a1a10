"""Answers when expressions fire, by implementations that Tenacron did not write.

Usage: dialects_drive.py QUESTIONS. Each line of the file is a JSON list [dialect, expression, after, count], with `after` in
seconds since 1970 and dialect "crontab" (croniter) or "eventbridge" (aws-croniter). Each line of the answer is a JSON list of
the next instants, or a text: why the expression was refused.
"""

import json
import sys
from datetime import datetime, timezone

from aws_croniter import AwsCroniter
from croniter import CroniterBadDateError, croniter

YEARS_AHEAD = 60


def crontab(expression, after, count):
    # With the "bug" it is Vixie's cron: a day field that begins with * is not restricted, even if it is */2.
    found = croniter(expression, after, max_years_between_matches=YEARS_AHEAD, implement_cron_bug=True)
    instants = []
    try:
        while len(instants) < count:
            instants.append(int(found.get_next(float)))
    except CroniterBadDateError:
        pass
    return instants


def eventbridge(expression, after, count):
    cron = AwsCroniter(expression)
    moment = datetime.fromtimestamp(after, timezone.utc)
    end = moment.year + YEARS_AHEAD
    instants = []
    while len(instants) < count and moment.year <= end:
        (found,) = cron.get_next(moment)
        if found is None:
            # It gives up after ten jumps, of which a month takes three at most; so it is asked again from the next month on.
            month = moment.month % 12 + 1
            moment = datetime(moment.year + (month == 1), month, 1, tzinfo=timezone.utc)
            if cron.get_next(moment, inclusive=True)[0] == moment:
                instants.append(int(moment.timestamp()))
        else:
            moment = found
            instants.append(int(found.timestamp()))
    return instants


def main(questions):
    dialects = {"crontab": crontab, "eventbridge": eventbridge}
    with open(questions) as lines:
        for line in lines:
            dialect, expression, after, count = json.loads(line)
            try:
                answer = dialects[dialect](expression, after, count)
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
            print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
