package server

import (
	"time"

	"multichat/internal/chat"
)

// What one user may send at one server, by all its clients together, unless a setting says otherwise.
const (
	DefaultUserSends     = 200 // a second
	DefaultUserSendBurst = 1000
)

var errSendsBusy = chat.Errorf(chat.CodeBusy,
	"this user sends more messages than the server takes from one; send again later, and not as fast")

// sendRate is the limit by its two settings, of which 0 is the default and less is no limit.
func sendRate(perSecond, burst int) rate {
	if perSecond == 0 {
		perSecond = DefaultUserSends
	}
	if burst == 0 {
		burst = DefaultUserSendBurst
	}
	if perSecond < 0 || burst < 0 {
		return rate{}
	}
	return rate{time.Second / time.Duration(perSecond), burst}
}

// admitSend counts a message that a user is about to send, by whichever way, or says that it is one too many.
func (s *Server) admitSend(u *account) error {
	if !u.sends.take(s.userSends, s.clock()) {
		return errSendsBusy
	}
	return nil
}
