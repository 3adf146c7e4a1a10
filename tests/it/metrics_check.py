"""Reads a page of metrics in both text formats with the parsers of Prometheus's own client.

Usage: metrics_check.py OPENMETRICS TEXT

Prints `the same: N families, M series`, or what differs, and then fails.
"""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text


def families(read, file):
    """Type, help and series of each family, by the name of its samples."""
    found = {}
    with open(file, encoding="utf-8") as page:
        for family in read(page.read()):
            # What OpenMetrics calls an info is a gauge of that name in the older format.
            is_info = family.type == "info"
            name = family.name + "_info" if is_info else family.name
            kind = "gauge" if is_info else family.type
            series = {(s.name, tuple(sorted(s.labels.items()))) for s in family.samples}
            if name in found:
                sys.exit(f"{file}: {name} twice")
            found[name] = (kind, family.documentation, series)
    return found


def main(openmetrics, text):
    new, old = families(read_openmetrics, openmetrics), families(read_text, text)
    differences = [f"{name}: {new.get(name)} and {old.get(name)}" for name in new | old if new.get(name) != old.get(name)]
    untyped = [name for name, (kind, _, _) in old.items() if kind not in ("counter", "gauge", "histogram")]
    if differences or untyped:
        sys.exit("\n".join(differences + [f"{name} has no type" for name in untyped]))
    print(f"the same: {len(new)} families, {sum(len(series) for _, _, series in new.values())} series")


main(*sys.argv[1:])
