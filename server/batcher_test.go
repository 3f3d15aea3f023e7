package server

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatGathersDuringABatchIsTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatcher[int](7, 3)
		var batches [][]int
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.run(ctx, func(_ context.Context, batch []int) {
				batches = append(batches, batch)
				time.Sleep(time.Second)
			})
		}()
		b.offer(0)
		synctest.Wait()
		for i := range 7 {
			if !b.offer(1 + i) {
				t.Errorf("request %d was refused", 1+i)
			}
		}
		if b.offer(8) {
			t.Error("an eighth request fits a queue of seven")
		}
		time.Sleep(1500 * time.Millisecond)
		cancel()
		<-ended
		want := [][]int{{0}, {1, 2, 3}, {4, 5, 6}, {7}}
		if !slices.EqualFunc(batches, want, slices.Equal[[]int]) {
			t.Errorf("batches %v, want %v: what is queued at the end is done as well", batches, want)
		}
	})
}
