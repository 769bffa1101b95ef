"""Inputs that the specifications of several chapters share."""

import numpy as np


def sines(*shape):
    """Numbers that anyone can write down again: the sines of 1, 2, 3, …"""
    return np.sin(np.arange(1, np.prod(shape) + 1)).reshape(shape)


def cosines(*shape):
    """Half the cosines of 1, 2, 3, …"""
    return np.cos(np.arange(1, np.prod(shape) + 1)).reshape(shape) / 2
