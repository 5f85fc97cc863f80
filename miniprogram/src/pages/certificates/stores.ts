/** Store selection: names and distances. Pure functions. */

export interface Position {
  latitude: number;
  longitude: number;
}

/** A store; the position is optional and in GCJ-02, as tt.getLocation returns it for `gcj02`. */
export interface Store extends Partial<Position> {
  poi_id: string;
  name: string;
  phone?: string;
}

/** One line of the store selection; `distance` is empty where it is unknown. */
export interface StoreRow {
  poi_id: string;
  name: string;
  distance: string;
}

/** Return the stores by distance from `customer`, nearest first; without a position, in the given order. */
export function storeRows(stores: Store[], customer?: Position): StoreRow[] {
  return stores
    .map((store, index) => ({ store, index, metres: customer ? distance(store, customer) : Number.POSITIVE_INFINITY }))
    .sort((a, b) => (a.metres === b.metres ? a.index - b.index : a.metres - b.metres))
    .map(({ store, metres }) => ({ poi_id: store.poi_id, name: store.name, distance: distanceText(metres) }));
}

const EARTH_RADIUS_M = 6371000;

/** Return the distance in metres (haversine formula); infinity if the store has no position. */
function distance(store: Store, customer: Position): number {
  if (store.latitude === undefined || store.longitude === undefined) {
    return Number.POSITIVE_INFINITY;
  }
  const radians = Math.PI / 180;
  const height = Math.sin(((store.latitude - customer.latitude) * radians) / 2);
  const width = Math.sin(((store.longitude - customer.longitude) * radians) / 2);
  const cosines = Math.cos(store.latitude * radians) * Math.cos(customer.latitude * radians);
  return 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(height * height + cosines * width * width));
}

function distanceText(metres: number): string {
  if (metres === Number.POSITIVE_INFINITY) {
    return "";
  }
  return metres < 1000 ? `约 ${Math.ceil(metres / 10) * 10} 米` : `约 ${(metres / 1000).toFixed(1)} 公里`;
}
