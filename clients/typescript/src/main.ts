// The smallest real client in TypeScript: one person twice, a look, a list, a proven export, and an error that is read.
//
//     npm ci && npm run build && CONTACTSERVICE_TOKEN=... npm start

import { Connection } from "./connection.js";
import { exportAll } from "./export.js";
import { reason, told } from "./failure.js";
import type { Contact } from "./generated/contactservice/v1/contact.js";
import {
  EnsureContactRequest,
  GetContactRequest,
  ListContactsRequest,
} from "./generated/contactservice/v1/contact_service.js";

const EMAIL = "ann@example.com";
const NOBODY = "ct_nobody";

async function meet(connection: Connection): Promise<string> {
  const [contact, known] = await ensureTwice(connection);
  const listed = await list(connection, contact);
  const exported = await exportAll(connection);
  return `${contact.id} ${known}; ${listed} listed; ${exported}; ${NOBODY}: ${await whyNobody(connection)}`;
}

/** The contact as GetContact has it, and whether each of the two calls created it. */
async function ensureTwice(connection: Connection): Promise<[Contact, string]> {
  const { contacts } = connection;
  const person = EnsureContactRequest.fromPartial({ contact: { email: EMAIL } });
  const first = await connection.call(contacts.ensureContact, person);
  const second = await connection.call(contacts.ensureContact, person);
  if (second.created || second.contact?.id !== first.contact?.id) {
    throw new Error("one person became two contacts");
  }
  const request = GetContactRequest.fromPartial({ id: first.contact?.id ?? "" });
  const { contact } = await connection.call(contacts.getContact, request);
  if (contact === undefined) {
    throw new Error("GetContact answered without a contact");
  }
  return [contact, `created=${first.created} then created=${second.created}`];
}

/** How many contacts have the email; the contact is among them. */
async function list(connection: Connection, contact: Contact): Promise<number> {
  const request = ListContactsRequest.fromPartial({ filter: { emails: [contact.email] } });
  const page = await connection.call(connection.contacts.listContacts, request);
  if (!page.contacts.some(({ id }) => id === contact.id)) {
    throw new Error("the list lacks the contact");
  }
  return page.contacts.length;
}

/** The reason for which there is no contact of that id. */
async function whyNobody(connection: Connection): Promise<string> {
  try {
    await connection.call(connection.contacts.getContact, GetContactRequest.fromPartial({ id: NOBODY }));
  } catch (error) {
    if (reason(error) === "CONTACT_NOT_FOUND") {
      return "CONTACT_NOT_FOUND";
    }
    throw error;
  }
  throw new Error(`${NOBODY} is somebody`);
}

async function main(): Promise<void> {
  const connection = new Connection();
  try {
    console.log(await meet(connection));
  } finally {
    connection.close();
  }
}

main().catch((error: unknown) => {
  console.error(told(error));
  process.exitCode = 1;
});
