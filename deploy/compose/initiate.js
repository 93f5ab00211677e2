// Makes the replica set, waits for its primary, makes the service's user. What is there stays: run it as often
// as you like. An error ends mongosh with a code other than 0, and what depends on it does not start.
const fs = require("fs");
const password = (name) => fs.readFileSync(`/run/secrets/${name}`, "utf8").trim();
const NOT_YET_INITIALIZED = 94;
const MEMBER = "mongodb:27017";

const admin = db.getSiblingDB("admin");
admin.auth("root", password("mongodb-root-password"));

try {
  rs.status();
} catch (error) {
  if (error.code !== NOT_YET_INITIALIZED) throw error;
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host: MEMBER }] });
}

const deadline = Date.now() + 60000;
while (!admin.hello().isWritablePrimary) {
  if (Date.now() > deadline) throw new Error("no primary within a minute");
  sleep(200);
}

const contacts = db.getSiblingDB("contactservice");
const roles = [{ role: "readWrite", db: "contactservice" }];
if (contacts.getUser("contactservice") === null) {
  contacts.createUser({ user: "contactservice", pwd: password("mongodb-password"), roles });
} else {
  contacts.updateUser("contactservice", { pwd: password("mongodb-password"), roles });
}
print("the replica set has a primary, and the service a user");
