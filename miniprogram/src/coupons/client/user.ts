/**
 * The user of the phone, as far as tt's storage can tell. Douyin gives each user a separate storage. The token in a
 * storage identifies it: if the storage has another token than before, another user has logged in.
 */

import { readStoredSession, type Session } from "./body";
import { attempt, SESSION_STORAGE_KEY, type TtApi } from "./tt";

/** Create the state of the user. `onChange` is called when a user with a session is replaced, or may have been. */
export function createPhoneUser(tt: TtApi, onChange: () => void) {
  let session: Session | undefined;
  // The token that was last found in the storage. If the storage works, it is the token of `session`.
  let storedToken = "";
  let changes = 0;

  function readToken(): string {
    return attempt(() => readStoredSession(tt.getStorageSync(SESSION_STORAGE_KEY)).token) || "";
  }

  function writeSession(newSession: Session): void {
    attempt(() => tt.setStorageSync(SESSION_STORAGE_KEY, newSession));
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

  /** Read the storage, and change the user if it has another token. Return whether it has the token of the session. */
  function sync(): boolean {
    return !!attempt(() => {
      const stored = tt.getStorageSync(SESSION_STORAGE_KEY);
      const found = attempt(() => readStoredSession(stored));
      const token = found ? found.token : "";
      if (token !== storedToken) {
        storedToken = token;
        change(found);
      }
      return session && session.token === token;
    });
  }

  /** Whether this token is in the storage. If it is, the user is still the one for whom it was stored. */
  function isStored(token: string): boolean {
    return !!token && readToken() === token;
  }

  /**
   * Return the token in this user's storage. If there is none, store a mark first: a random token that has expired.
   * Empty if the mark cannot be stored.
   */
  function ensureStoredToken(): string {
    sync();
    if (!isStored(storedToken)) {
      // Without a mark, the empty storage of another user would look the same. An unreadable token counts as none.
      const marked = { token: `${Math.random()}`, endsAt: 0 };
      writeSession(marked);
      if (storedToken) {
        session = marked;
      } else if (session) {
        // Nothing can be stored, so the session may be another user's.
        dropSession();
      }
    }
    return storedToken;
  }

  /** Use a session. Store it only if the storage still belongs to its user. */
  function setSession(newSession: Session): void {
    session = newSession;
    if (isStored(storedToken)) {
      writeSession(newSession);
    }
  }

  function dropSession(): void {
    session = undefined;
    changes += 1;
    onChange();
  }

  /** Expire a rejected session, unless a new one has replaced it. */
  function expire(token: string): void {
    if (session && session.token === token) {
      // The token stays in the storage, because it shows a change of the user.
      setSession({ token, endsAt: 0 });
    }
  }

  return {
    /** The session of the present user. A rejected session and a mark are expired sessions. */
    session: () => session,
    /** Number of changes of the user. A list or response from before the last change is not used. */
    changes: () => changes,
    sync,
    /** Drop the session, because it may be another user's, and report a change. */
    dropSession,
    /** Count a change of the user, because there may have been one. The session stays. */
    markChanged: () => change(session),
    isStored,
    /** Whether the storage shows that the user is still the same. */
    isKnown: () => isStored(storedToken),
    ensureStoredToken,
    setSession,
    expire,
  };
}
