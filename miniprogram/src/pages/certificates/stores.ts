/** Which store the customer stands in. Pure. */

/** A store as the customer knows it; positions as tt.getLocation gives them for gcj02. */
export interface Store {
  poi_id: string;
  name: string;
  phone?: string;
  latitude?: number;
  longitude?: number;
}

/** A line of the choice of stores; `distance` is empty where either place is unknown. */
export interface StoreRow {
  poi_id: string;
  name: string;
  distance: string;
}

export interface Place {
  latitude: number;
  longitude: number;
}

/** The stores to choose from: the nearest first where the customer's place is known, else as they were given. */
export function storeRows(stores: Store[], here?: Place): StoreRow[] {
  return stores
    .map((store, index) => ({ store, index, metres: here ? distance(store, here) : Number.POSITIVE_INFINITY }))
    .sort((a, b) => (a.metres === b.metres ? a.index - b.index : a.metres - b.metres))
    .map(({ store, metres }) => ({ poi_id: store.poi_id, name: store.name, distance: distanceText(metres) }));
}

const EARTH_RADIUS_M = 6371000;

/** Metres along the ground, by the haversine formula; infinite where the store's position is not known. */
function distance(store: Store, here: Place): number {
  if (store.latitude === undefined || store.longitude === undefined) {
    return Number.POSITIVE_INFINITY;
  }
  const radians = Math.PI / 180;
  const height = Math.sin(((store.latitude - here.latitude) * radians) / 2);
  const width = Math.sin(((store.longitude - here.longitude) * radians) / 2);
  const cosines = Math.cos(store.latitude * radians) * Math.cos(here.latitude * radians);
  return 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(height * height + cosines * width * width));
}

function distanceText(metres: number): string {
  if (metres === Number.POSITIVE_INFINITY) {
    return "";
  }
  return metres < 1000 ? `约 ${Math.ceil(metres / 10) * 10} 米` : `约 ${(metres / 1000).toFixed(1)} 公里`;
}
