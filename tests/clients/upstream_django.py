"""Django's own test runner, which also writes how each test went into the file UPSTREAM_REPORT."""

import json
import os
import unittest
from pathlib import Path

from django.test.runner import DiscoverRunner


class Result(unittest.TextTestResult):
    """What unittest prints, and the outcomes by the names of the tests."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.outcomes = {}

    def startTest(self, test):
        super().startTest(test)
        self.outcomes[test.id()] = "passed"

    def _note(self, test, outcome):
        self.outcomes[test.id()] = outcome

    def addError(self, test, err):
        super().addError(test, err)
        self._note(test, "failed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped")


class Runner(DiscoverRunner):
    """The runner of Django's own tests, with a report."""

    def get_resultclass(self):
        return Result

    def suite_result(self, suite, result, **more):
        Path(os.environ["UPSTREAM_REPORT"]).write_text(json.dumps(result.outcomes))
        return super().suite_result(suite, result, **more)
