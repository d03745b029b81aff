"""softmax, log_softmax and logsumexp of contiguous rows.

A row is read twice: once for its largest and smallest element, once for its exponentials.  With m the largest element
and tau the temperature, everything rests on these choices:

* **The shift hides in the exponent.**  ``exp((x - m) / tau)`` is computed as ``exp(x / tau) * 2**-N`` with N the
  integer nearest ``m / tau * log2(e)``.  The rounding error of x - m, which costs other libraries up to 65 ulp at
  logits of 40, is never made.  Where ``|m| / tau`` is too large for the reduction, x - m is exact for every x
  that matters (Sterbenz), so the row is shifted by its anchor m first.
* **The sum has one order**, a function of n and dtype alone: element i adds to partial sum i mod L (L the lanes of a
  vector); every four vectors are added in a tree and join L totals whose rounding errors are kept; every 65536
  elements the totals are added in a fixed tree to one in float64.
* **log1p.**  logsumexp is ``m / tau + log1p(s)`` and log_softmax ``(x - m) / tau - log1p(s)``, with s the sum over
  every element but one maximum, so that nothing cancels (Blanchard, Higham and Higham, "Accurately computing the
  log-sum-exp and softmax functions", IMA J. Numer. Anal. 41(4), 2021).

Results below the smallest normal number are flushed to 0: gradual underflow stalls some processors.
"""
