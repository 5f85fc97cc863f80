/**
 * The user of the phone, as far as tt's storage can tell. Each user has a storage of their own, and the token in it marks
 * it: if another one is found, another user has logged in.
 */

import { readStoredSession, type Session } from "./body";
import { attempt, SESSION_KEY, type TtApi } from "./tt";

export type PhoneUser = ReturnType<typeof createPhoneUser>;

/** `onChange` is called when a user with a session is replaced. */
export function createPhoneUser(tt: TtApi, onChange: () => void) {
  let session: Session | undefined;
  // The token that was last found in the storage: that of `session`, unless the storage has failed.
  let storedToken = "";
  let changes = 0;

  function readToken(): string {
    return attempt(() => readStoredSession(tt.getStorageSync(SESSION_KEY)).token) || "";
  }

  function store(saved: Session): void {
    attempt(() => tt.setStorageSync(SESSION_KEY, saved));
    storedToken = readToken();
  }

  function change(found: Session | undefined): void {
    const former = session;
    session = found;
    changes += 1;
    if (former) {
      onChange();
    }
  }

  /** Compare with the storage, and change the user if it has another token. Return whether it holds the session. */
  function sync(): boolean {
    return !!attempt(() => {
      const stored = tt.getStorageSync(SESSION_KEY);
      const found = attempt(() => readStoredSession(stored));
      const token = found ? found.token : "";
      if (token !== storedToken) {
        storedToken = token;
        change(found);
      }
      return session && session.token === token;
    });
  }

  /** Whether this token is in the storage: then no other user has logged in since it was stored. */
  function isStored(token: string): boolean {
    return !!token && readToken() === token;
  }

  /** Return the token in this user's storage. An empty storage gets a mark; the result is empty if that fails, too. */
  function ensureMark(): string {
    sync();
    if (!isStored(storedToken)) {
      // Without a mark, the empty storage of another user would look the same. One that cannot be read counts as none.
      const marked = { token: `${Math.random()}`, endsAt: 0 };
      store(marked);
      session = storedToken ? marked : undefined;
    }
    return storedToken;
  }

  /** Use a session, and store it if the storage still is that of its user. */
  function save(saved: Session): void {
    session = saved;
    if (isStored(storedToken)) {
      store(saved);
    }
  }

  /** Expire a rejected session, unless a new one has replaced it. */
  function discard(token: string): void {
    if (session && session.token === token) {
      // Stored, so that another user of the phone is noticed.
      save({ token, endsAt: 0 });
    }
  }

  return {
    /** The session of the present user; it has expired if it was rejected, or is only a mark. */
    session: () => session,
    /** Number of changes of the user, so that lists and responses of a former user are not used. */
    changes: () => changes,
    sync,
    change,
    isStored,
    ensureMark,
    save,
    discard,
  };
}
