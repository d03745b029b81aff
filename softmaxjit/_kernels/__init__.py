"""softmax, log_softmax and logsumexp of rows, one by one, in tiles or shared out; and their gradients.

A row is read for its largest and smallest element, then for its exponentials.  softmax goes on to scale these,
log_softmax to read the row again for its results; long rows are read for extremes and exponentials at once, piece by
piece (`pieces`).  With m the largest element and tau the temperature, everything rests on these choices:

* **The shift hides in the exponent.**  ``exp((x - m) / tau)`` is computed as ``exp(x / tau) * 2**-N`` with N the
  integer nearest ``m / tau * log2(e)``.  The rounding error of x - m, which costs other libraries up to 65 ulp at
  logits of 40, is never made.  Where ``|m| / tau`` is too large for the reduction, x - m is exact for every x
  that matters (Sterbenz), so the row is shifted by its anchor m first.
* **Each sum has one order**, a function of n and dtype alone: element i adds to partial sum i mod L (L the lanes of a
  vector).  That of softmax (`sums`) adds every four vectors in a tree, which joins L totals whose rounding errors are
  kept, and every 65536 elements these in a fixed tree to one in float64.  That of log_softmax and logsumexp (`others`)
  keeps its partial sums in float64 or as pairs, and adds them in a fixed tree every 2048 elements.
* **log1p.**  logsumexp is ``m / tau + log1p(s)`` and log_softmax ``(x - m) / tau - log1p(s)``, with s the sum over
  every element but one maximum, so that nothing cancels (Blanchard, Higham and Higham, "Accurately computing the
  log-sum-exp and softmax functions", IMA J. Numer. Anal. 41(4), 2021).

What lies below the smallest normal number is flushed to 0 in softmax, log_softmax and the exponentials of
log_softmax_vjp: gradual underflow stalls some processors.
"""
