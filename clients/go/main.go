// The smallest real client in Go: one person twice, a look, a list, a proven export, and an error that is read.
//
//	CONTACTSERVICE_TOKEN=... go run .
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	pb "contactservice/clients/go/contactservice/v1"
)

const (
	email    = "ann@example.com"
	nobody   = "ct_nobody"
	patience = 30 * time.Second
)

func main() {
	line, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, told(err))
		os.Exit(1)
	}
	fmt.Println(line)
}

func run() (string, error) {
	connection, err := connect()
	if err != nil {
		return "", err
	}
	defer connection.Close()
	// A call without a deadline waits for a replica for ever. This one is that of each call.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return meet(ctx, pb.NewContactServiceClient(connection))
}

func meet(ctx context.Context, contacts pb.ContactServiceClient) (string, error) {
	contact, known, err := ensureTwice(ctx, contacts)
	if err != nil {
		return "", err
	}
	listed, err := list(ctx, contacts, contact)
	if err != nil {
		return "", err
	}
	exported, err := export(ctx, contacts)
	if err != nil {
		return "", err
	}
	why, err := whyNobody(ctx, contacts)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s; %d listed; %s; %s: %s", contact.GetId(), known, listed, exported, nobody, why), nil
}

// ensureTwice returns the contact as GetContact has it, and whether each of the two calls created it.
func ensureTwice(ctx context.Context, contacts pb.ContactServiceClient) (*pb.Contact, string, error) {
	person := &pb.EnsureContactRequest{Contact: &pb.Contact{Email: email}}
	first, err := contacts.EnsureContact(ctx, person)
	if err != nil {
		return nil, "", err
	}
	second, err := contacts.EnsureContact(ctx, person)
	if err != nil {
		return nil, "", err
	}
	if second.GetCreated() || second.GetContact().GetId() != first.GetContact().GetId() {
		return nil, "", errors.New("one person became two contacts")
	}
	got, err := contacts.GetContact(ctx, &pb.GetContactRequest{Id: first.GetContact().GetId()})
	if err != nil {
		return nil, "", err
	}
	return got.GetContact(), fmt.Sprintf("created=%t then created=%t", first.GetCreated(), second.GetCreated()), nil
}

// list returns how many contacts have the email; the contact is among them.
func list(ctx context.Context, contacts pb.ContactServiceClient, contact *pb.Contact) (int, error) {
	filter := &pb.ContactFilter{Emails: []string{contact.GetEmail()}}
	page, err := contacts.ListContacts(ctx, &pb.ListContactsRequest{Filter: filter})
	if err != nil {
		return 0, err
	}
	for _, listed := range page.GetContacts() {
		if listed.GetId() == contact.GetId() {
			return len(page.GetContacts()), nil
		}
	}
	return 0, errors.New("the list lacks the contact")
}

// whyNobody returns the reason for which there is no contact of that id.
func whyNobody(ctx context.Context, contacts pb.ContactServiceClient) (string, error) {
	_, err := contacts.GetContact(ctx, &pb.GetContactRequest{Id: nobody})
	switch {
	case err == nil:
		return "", fmt.Errorf("%s is somebody", nobody)
	case reason(err) != "CONTACT_NOT_FOUND":
		return "", err
	}
	return "CONTACT_NOT_FOUND", nil
}
