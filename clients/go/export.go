package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	pb "contactservice/clients/go/contactservice/v1"
)

// tally is what came of an export, to be held against its summary. Who keeps the data writes it where add hashes it.
type tally struct {
	records, bytes int64
	digest         hash.Hash
}

// export reads all contacts as JSON lines and returns what is proven of them.
func export(ctx context.Context, contacts pb.ContactServiceClient) (string, error) {
	request := &pb.ExportContactsRequest{Format: pb.ExportFormat_EXPORT_FORMAT_JSONL}
	stream, err := contacts.ExportContacts(ctx, request)
	if err != nil {
		return "", err
	}
	came := tally{digest: sha256.New()}
	var summary *pb.ExportSummary
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return came.prove(summary)
		}
		if err != nil {
			return "", err
		}
		came.add(message.GetData())
		if message.GetSummary() != nil {
			summary = message.GetSummary()
		}
	}
}

func (came *tally) add(data []byte) {
	came.records += int64(bytes.Count(data, []byte("\n")))
	came.bytes += int64(len(data))
	came.digest.Write(data)
}

func (came *tally) prove(summary *pb.ExportSummary) (string, error) {
	sha256 := hex.EncodeToString(came.digest.Sum(nil))
	switch {
	case summary == nil:
		return "", errors.New("the export ended without a summary")
	case !summary.GetComplete():
		return "", errors.New("the summary does not call the export complete")
	case summary.GetRecords() != came.records:
		return "", fmt.Errorf("%d records came, the summary says %d", came.records, summary.GetRecords())
	case summary.GetBytes() != came.bytes:
		return "", fmt.Errorf("%d bytes came, the summary says %d", came.bytes, summary.GetBytes())
	case summary.GetSha256() != sha256:
		return "", errors.New("the sha256 is not that of the data")
	}
	return fmt.Sprintf("%d exported and proven, %d bytes, sha256 %s", came.records, came.bytes, sha256), nil
}
