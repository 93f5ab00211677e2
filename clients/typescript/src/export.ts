import { createHash } from "node:crypto";

import type { Connection } from "./connection.js";
import { ExportContactsRequest, type ExportContactsResponse } from "./generated/contactservice/v1/contact_service.js";
import { ExportFormat, type ExportSummary } from "./generated/contactservice/v1/export.js";

const LINE_FEED = 10;

/** What came of an export, to be held against its summary. Who keeps the data writes it where `add` hashes it. */
class Tally {
  private records = 0n;
  private bytes = 0n;
  private readonly digest = createHash("sha256");

  add(data: Buffer): void {
    this.records += BigInt(data.filter((byte) => byte === LINE_FEED).length);
    this.bytes += BigInt(data.length);
    this.digest.update(data);
  }

  prove(summary: ExportSummary | undefined): string {
    const sha256 = this.digest.digest("hex");
    if (summary === undefined) {
      throw new Error("the export ended without a summary");
    }
    if (!summary.complete) {
      throw new Error("the summary does not call the export complete");
    }
    if (summary.records !== this.records) {
      throw new Error(`${this.records} records came, the summary says ${summary.records}`);
    }
    if (summary.bytes !== this.bytes) {
      throw new Error(`${this.bytes} bytes came, the summary says ${summary.bytes}`);
    }
    if (summary.sha256 !== sha256) {
      throw new Error("the sha256 is not that of the data");
    }
    return `${this.records} exported and proven, ${this.bytes} bytes, sha256 ${sha256}`;
  }
}

/** Reads all contacts as JSON lines and returns what is proven of them. */
export async function exportAll({ contacts, metadata, options }: Connection): Promise<string> {
  const request = ExportContactsRequest.fromPartial({ format: ExportFormat.EXPORT_FORMAT_JSONL });
  const messages: AsyncIterable<ExportContactsResponse> = contacts.exportContacts(request, metadata, options);
  const came = new Tally();
  let summary: ExportSummary | undefined;
  for await (const message of messages) {
    if (message.data) {
      came.add(message.data);
    }
    summary ??= message.summary;
  }
  return came.prove(summary);
}
