package shardstore

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"multichat/internal/chat"
)

// The questions that a write asks, in words that every kind of shard understands. A list of things that are asked for
// is a table w of its own, made of SELECTs, since the kinds agree on nothing shorter.

// findStored answers the submissions whose id was used before.
func findStored(query querier, batch []chat.Submission, out []chat.Stored) error {
	for base := 0; base < len(batch); base += maxList {
		part := batch[base:min(base+maxList, len(batch))]
		args := make([]any, 0, 3*listSize(len(part)))
		for _, m := range part {
			args = append(args, blob(m.ID), blob(m.From), blob(m.To))
		}
		err := each(query(findText(listSize(len(part))), pad(args, cap(args))...))(func(rows *sql.Rows) error {
			var i int
			var seq chat.Seq
			var body sql.RawBytes
			if err := rows.Scan(&i, &seq, &body); err != nil {
				return err
			}
			if bytes.Equal(body, part[i].Text) {
				out[base+i] = chat.Stored{Seq: seq, Existed: true}
			} else {
				out[base+i].Err = chat.Errorf(chat.CodeConflict, "the id %q was used for another text; use a new id", part[i].ID)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var findText = textsBySize(func(size int) string {
	return `SELECT w.i, m.seq, m.body FROM ` + table(size, "i", "id", "sender", "mailbox") + ` AS w CROSS JOIN inbox AS m
		ON m.msg_id = w.id AND m.from_user = w.sender AND m.userid = w.mailbox`
})

// refuseStrangers answers the submissions to users who do not exist.
func refuseStrangers(query querier, batch []chat.Submission, out []chat.Stored) error {
	known := map[chat.Mailbox]bool{chat.Everyone: true}
	var asked []chat.Mailbox
	for i, m := range batch {
		if _, seen := known[m.To]; !seen && !settled(out[i]) {
			known[m.To] = false
			asked = append(asked, m.To)
		}
	}
	for part := range slices.Chunk(asked, maxList) {
		err := each(query(knownText(listSize(len(part))), keyList(part)...))(func(rows *sql.Rows) error {
			var id sql.RawBytes
			if err := rows.Scan(&id); err != nil {
				return err
			}
			known[chat.Mailbox(id)] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	for i, m := range batch {
		if !settled(out[i]) && !known[m.To] {
			out[i].Err = chat.Errorf(chat.CodeNoUser, "there is no user %q", m.To)
		}
	}
	return nil
}

var knownText = textsBySize(func(size int) string {
	return "SELECT userid FROM users WHERE userid IN (" + marks(size) + ")"
})

// errBehind is a shard whose counter would give seqs below messages that are there: readers have passed them already, and
// would never see what is written there.
var errBehind = errors.New("the shard's counter is behind its newest message")

// isBehind says of the shard's row whether there are messages above its counter.
var isBehind = fmt.Sprintf("counter * %d + number < (SELECT COALESCE(MAX(seq), 0) FROM inbox)", chat.MaxShards)

// checkCounter returns errBehind if there are messages above the counter. It asks for both at once: between two
// statements, another process may commit what the first has not seen, and a sound shard would look damaged.
func checkCounter(query querier) error {
	return each(query("SELECT " + isBehind + " FROM shard WHERE id = 1"))(func(rows *sql.Rows) error {
		var behind bool
		err := rows.Scan(&behind)
		if err == nil && behind {
			err = errBehind
		}
		return err
	})
}

// settled tells whether a submission has its answer.
func settled(s chat.Stored) bool { return s.Existed || s.Err != nil }

// findCursors fills in the cursors that exist. The others stay zero.
func findCursors(query querier, devices []chat.Device, cursors []chat.Cursor) error {
	for base := 0; base < len(devices); base += maxList {
		part := devices[base:min(base+maxList, len(devices))]
		text, args := cursorsQuestion(part)
		if err := each(query(text, args...))(scanCursor(part, cursors[base:])); err != nil {
			return err
		}
	}
	return nil
}

// cursorsQuestion asks for the cursors of at most maxList devices. scanCursor takes a row of the answer.
func cursorsQuestion(devices []chat.Device) (text string, args []any) {
	args = make([]any, 0, 2*listSize(len(devices)))
	for _, d := range devices {
		args = append(args, blob(d.User), blob(d.ID))
	}
	return cursorsText(listSize(len(devices))), pad(args, cap(args))
}

func scanCursor(devices []chat.Device, cursors []chat.Cursor) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var i int
		var c chat.Cursor
		var seen int64
		if err := rows.Scan(&i, &c.Session, &c.Inbox, &c.Broadcast, &seen); err != nil {
			return err
		}
		c.Device, c.Seen = devices[i], time.UnixMilli(seen)
		cursors[i] = c
		return nil
	}
}

var cursorsText = textsBySize(func(size int) string {
	return "SELECT w.i, c.session, c.inbox_seq, c.bcast_seq, c.seen_at FROM " + table(size, "i", "userid", "device") +
		" AS w CROSS JOIN `cursor` AS c ON c.userid = w.userid AND c.device = w.device"
})

func anyMissing(cursors []chat.Cursor) bool {
	for _, c := range cursors {
		if c == (chat.Cursor{}) {
			return true
		}
	}
	return false
}

// table is a table of size rows with a place for each value, as it stands in a FROM. The first column is the row's number.
func table(size int, columns ...string) string {
	var b strings.Builder
	b.WriteString("(SELECT 0 AS " + columns[0])
	for _, column := range columns[1:] {
		b.WriteString(", ? AS " + column)
	}
	for i := 1; i < size; i++ {
		fmt.Fprintf(&b, " UNION ALL SELECT %d%s", i, strings.Repeat(", ?", len(columns)-1))
	}
	b.WriteString(")")
	return b.String()
}
