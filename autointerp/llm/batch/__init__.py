"""Batch interfaces of the endpoints: half the price, within a day, taken up again by whichever process comes next."""
