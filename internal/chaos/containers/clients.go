package containers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// clientImage is the image of the clients' containers.
const clientImage = "multichat-chaos-client"

// firstClient is the last byte of the first client's address on the edge network.
const firstClient = 101

func (cl *cluster) clientAddress(number int) string {
	return fmt.Sprintf("%s.1.%d", cl.net, firstClient+number-1)
}

// buildClients makes the clients' image with the local Go, in a folder that is theirs.
func (cl *cluster) buildClients(ctx context.Context, dir string) error {
	const source = "internal/chaos/containers/client"
	_, err := cl.script(ctx, fmt.Sprintf("mkdir -p %[1]q; CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o %[1]q/client ./%[2]s; "+
		"cp %[2]s/Dockerfile %[1]q; docker build -q -t %[3]s %[1]q", dir, source, clientImage))
	return err
}

// startClients starts so many clients, which come to this socket. They are started one after the other, and deploy/sweep ends them
// so: an engine that does that to many at once may lose count of who is on a network, and can then never remove it.
func (cl *cluster) startClients(n int, socket string) error {
	if err := os.Chmod(socket, 0o777); err != nil { // they are another user
		return err
	}
	for number := 1; number <= n; number++ {
		if err := cl.startClient(number, socket); err != nil {
			return err
		}
	}
	return nil
}

func (cl *cluster) startClient(number int, socket string) error {
	_, err := docker("run", "--detach", "--name", fmt.Sprintf("%s_client_%d", project, number), "--label", "multichat.chaos="+project,
		"--network", cl.network(edge), "--ip", cl.clientAddress(number), "--read-only", "--cap-drop", "ALL",
		"--volume", filepath.Dir(socket)+":/run/driver", clientImage,
		"--driver", "/run/driver/"+filepath.Base(socket), "--number", fmt.Sprint(number))
	return err
}
