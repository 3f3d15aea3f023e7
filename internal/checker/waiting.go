package checker

// Progress is how many messages were acknowledged and how often one was shown, so far.
func (c *Checker) Progress() (acked, delivered int) { return c.report.Acked, c.report.Delivered }

// Waiting is how much of what was attempted so far is still to come: answers, and showings on devices. It looks at all
// messages.
func (c *Checker) Waiting() (n int) {
	for _, m := range c.order {
		n += m.open
		for range c.missing(m) {
			n++
		}
	}
	return n
}
