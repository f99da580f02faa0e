#!/usr/bin/python3
"""How long the console's views take to be seen in Debian's Chromium, from a server that runs: console_load.py PORT [ROUNDS 5]

For each view, loaded anew with an empty cache: milliseconds until the first and the largest paint (W3C Paint Timing,
Largest Contentful Paint), at the median and at most, what of the layout shifted (Layout Instability, 0 is nothing), and
the bytes that were sent for the page's files."""

import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from console_page import Page

SETTLED_S = 2
SEEN = """
const done = arguments[0];
let largest = 0;
let shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) largest = Math.max(largest, entry.startTime);
}).observe({type: 'largest-contentful-paint', buffered: true});
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) shifted += entry.value;
}).observe({type: 'layout-shift', buffered: true});
setTimeout(() => done({
  first: performance.getEntriesByName('first-contentful-paint')[0].startTime, largest, shifted,
  bytes: [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .filter(({name}) => /\\/console\\/[^/]+\\.\\w+$|\\/(#.*)?$/.test(name))
    .reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0)}), 200);
"""


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(f"{'view':12}{'first':>8}{'largest':>9}{'at most':>9}{'shifted':>9}{'bytes':>9}")
    for view in ("ask", "items", "experiments", "engine"):
        loads = []
        for _ in range(rounds):
            page = Page(int(sys.argv[1]))
            try:
                page.browser.get(f"{page.address}#{view}")
                time.sleep(SETTLED_S)
                loads.append(page.browser.execute_async_script(SEEN))
            finally:
                page.close()
        median = {key: statistics.median(load[key] for load in loads) for key in loads[0]}
        print(f"{view:12}{median['first']:8.0f}{median['largest']:9.0f}{max(load['largest'] for load in loads):9.0f}"
              f"{max(load['shifted'] for load in loads):9.3f}{median['bytes']:9.0f}")


main()
