package edge

import "sync"

// workers serve connections, one after another. A goroutine that begins with a connection has its stack copied before that
// is large enough, which costs more than to accept; one that has served a connection has a stack that is.
type workers struct {
	next    chan func()
	waiting chan struct{} // one for each worker that waits for its next connection
}

// maxWaiting bounds the workers that wait. When so many do, one more ends with its connection.
const maxWaiting = 64

func newWorkers() *workers {
	return &workers{next: make(chan func()), waiting: make(chan struct{}, maxWaiting)}
}

// run has a worker that waits call serve, or a new one, which is of the group.
func (w *workers) run(group *sync.WaitGroup, serve func()) {
	select {
	case w.next <- serve:
	default:
		group.Go(func() { w.work(serve) })
	}
}

func (w *workers) work(serve func()) {
	for serve != nil {
		serve()
		if !take(w.waiting) {
			return
		}
		serve = <-w.next // nil at the end
		release(w.waiting)
	}
}

// end ends those that wait, and the others after their connections. Nothing may be run any more.
func (w *workers) end() { close(w.next) }
