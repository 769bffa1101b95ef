"""Factors that a reader knows, by name."""

import math

KNOWN_FACTORS = {
    "2": 2.0,
    "1/2": 0.5,
    "-1": -1.0,
    "4": 4.0,
    "1/4": 0.25,
    "3": 3.0,
    "1/3": 1 / 3,
    "ln 2": math.log(2),
    "1/ln 2": 1 / math.log(2),
    "2 ln 2": 2 * math.log(2),
    "ln 10": math.log(10),
    "1/ln 10": 1 / math.log(10),
    "√2": math.sqrt(2),
    "1/√2": math.sqrt(0.5),
    "π": math.pi,
    "2π": 2 * math.pi,
    "1/π": 1 / math.pi,
    "√π": math.sqrt(math.pi),
    "√(2/π)": math.sqrt(2 / math.pi),
    "e": math.e,
    "1000": 1000.0,
    "1/1000": 0.001,
    "255": 255.0,
    "1/255": 1 / 255,
}
