"""Language models behind one method: requests, answers, the ledger, small wrappers and the providers."""
