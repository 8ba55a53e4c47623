from loracast.flops._exact import Exact as Coursework
