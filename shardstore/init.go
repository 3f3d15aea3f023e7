package shardstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"multichat/internal/chat"
)

// Shard numbers of a new cluster begin here.
const firstNumber chat.ShardNumber = 0

// Init makes a cluster of databases, or adds new ones to it. It must be given all shards of the cluster, and leaves
// alone what exists: a new shard gets the next number never given and, unless the cluster itself is new, no partitions.
//
// It may be cut off anywhere and run again, and run twice at once. The steps that make it so:
//
//  1. One shard arbitrates: the one with the lowest number, which never changes, or by name the first if none has one.
//  2. The cluster's random id is written to the arbiter first, unless it has one; the others take it from there.
//  3. Numbers are reserved at the arbiter, in one transaction each. One that was reserved in vain is not given again.
//  4. The plan of partitions is written to the arbiter first, unless it has one. Each shard then writes the plan, and
//     takes what the plan has for it, in one transaction, once for all time.
func Init(ctx context.Context, specs []Spec, opt Options) error {
	members, err := openAll(ctx, specs, true, opt)
	if err != nil {
		return err
	}
	return errors.Join(initialise(ctx, members), closeAll(members))
}

func initialise(ctx context.Context, members []*member) error {
	// In a cluster that another run is making, the first by name joins first. Reading it last shows it as a member
	// if any other is, so that both runs have the same arbiter.
	for _, m := range slices.Backward(members) {
		var err error
		if m.id, err = m.shard.Identity(ctx); err != nil {
			return err
		}
	}
	if err := checkKinship(members); err != nil {
		return err
	}
	arbiter := chooseArbiter(members)
	if err := found(ctx, arbiter); err != nil {
		return err
	}
	for _, m := range members {
		if err := join(ctx, m, arbiter, members); err != nil {
			return err
		}
	}
	// What another run did meanwhile counts.
	if err := checkKinship(members); err != nil {
		return err
	}
	plan, err := propose(arbiter.id.Layout, members)
	if err != nil {
		return problemf(ErrSpec, "the partitions cannot be given to these shards: %w", err)
	}
	if plan, err = arbiter.shard.Place(ctx, plan); err != nil {
		return err
	}
	for _, m := range members {
		if _, err := m.shard.Place(ctx, plan); err != nil {
			return err
		}
	}
	return nil
}

// chooseArbiter chooses the same shard in every run. Members ascend by name.
func chooseArbiter(members []*member) *member {
	arbiter := members[0]
	for _, m := range members {
		if m.id.Joined() && (!arbiter.id.Joined() || m.id.Number < arbiter.id.Number) {
			arbiter = m
		}
	}
	return arbiter
}

// found makes the arbiter the first shard of a new cluster unless it belongs to one.
func found(ctx context.Context, arbiter *member) (err error) {
	if arbiter.id.Joined() {
		return nil
	}
	var random [24]byte
	rand.Read(random[:]) // never fails
	layout := newLayout(hex.EncodeToString(random[:16]), binary.LittleEndian.Uint64(random[16:]))
	arbiter.id, err = arbiter.shard.Join(ctx, Identity{Layout: layout, Number: firstNumber, Highest: firstNumber})
	return err
}

// join makes m a member, with a number that was never given. All members hear of the number before it is used, so that
// losing the arbiter later does not give it again.
func join(ctx context.Context, m, arbiter *member, members []*member) (err error) {
	if m.id.Joined() {
		return nil
	}
	var floor chat.ShardNumber
	for _, other := range members {
		floor = max(floor, other.id.Highest)
	}
	number, err := arbiter.shard.Reserve(ctx, floor)
	if err != nil {
		return err
	}
	for _, other := range members {
		if other.id.Joined() {
			if err := other.shard.Heard(ctx, number); err != nil {
				return err
			}
		}
	}
	m.id, err = m.shard.Join(ctx, Identity{Layout: arbiter.id.Layout, Number: number, Highest: number})
	return err
}
