"""Where diffusers gives the values of feature maps that have another name or form in our texts."""

MODULES = (
    (r"\.attentions\.\d+\.group_norm$", r"\g<0>|grid"),  # it is run on B C N there
)
ENTERING = (
    (r"\.conv([12])$", r".act\1"),
    (r"\.norm2$", ".told"),
    (r"coder\.conv_out$", "coder.conv_act"),
    (r"\.upsamplers\.0\.conv$", ".upsamplers.0.repeated"),
)
