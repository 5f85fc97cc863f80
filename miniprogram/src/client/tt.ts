/** The part of Douyin's `tt` that the client calls. `tt` of @douyin-microapp/typings, Taro and uni-app all fit. */

/** A response of tt.request, with any status. */
export interface Reply {
  statusCode: number;
  /** The names can have any case. */
  header: object;
  /** An object if the body is JSON, otherwise text. */
  data: unknown;
}

export interface RequestOptions {
  url: string;
  method: "GET" | "POST";
  header: object;
  data?: object;
  /** Milliseconds. */
  timeout: number;
  /** Called for every status. */
  success: (reply: Reply) => void;
  fail: () => void;
}

export interface LoginOptions {
  /** Ask a user who is not logged in to Douyin to log in. */
  force: boolean;
  success: (login: { code?: string }) => void;
  fail: () => void;
}

/** Methods, not properties: their parameters are compared bivariantly, so that other declarations of `tt` fit. */
export interface TtApi {
  login(options: LoginOptions): unknown;
  request(options: RequestOptions): { abort(): void };
  /** May throw, as the other two storage functions. */
  getStorageSync(key: string): unknown;
  setStorageSync(key: string, data: unknown): unknown;
  removeStorageSync(key: string): unknown;
}
