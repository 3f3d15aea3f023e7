package screen

// history is the lines that were typed before, and where among them the editor is.
type history struct {
	lines []string
	at    int    // from the newest; 0: in none of them
	typed string // what was being typed when it was left
}

func (h *history) add(line string) {
	if len(h.lines) == 0 || h.lines[len(h.lines)-1] != line {
		h.lines = append(h.lines, line)
	}
	h.lines = h.lines[max(0, len(h.lines)-maxHistory):]
	h.at = 0
}

// older is the line before the one that is shown, or that one if there is none.
func (h *history) older(shown string) string {
	if h.at == len(h.lines) {
		return shown
	}
	if h.at == 0 {
		h.typed = shown
	}
	h.at++
	return h.lines[len(h.lines)-h.at]
}

// newer is the line after the one that is shown; after the last comes what was being typed.
func (h *history) newer(shown string) string {
	switch h.at {
	case 0:
		return shown
	case 1:
		h.at = 0
		return h.typed
	}
	h.at--
	return h.lines[len(h.lines)-h.at]
}
